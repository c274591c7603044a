"""What steps load is in the code bundle, whatever it is called, or the workflow is refused with the reason."""

from __future__ import annotations

import os
import re
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon import Workflow, WorkflowError, load_workflow

START = "from kaon import *\n"
BODY = 'w = Workflow("w", steps.python("a", f))\n'
WITH_FUNCTION = START + "def f(): ...\n" + BODY


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def entry(workflow: Workflow) -> str:
    return workflow.definition().body.blocks[0].step.config_json


@pytest.mark.parametrize(
    "name",
    [
        "test_flow.py",
        "flow_test.py",
        "conftest.py",
        "tests/flow.py",
        "tests/test_x/conftest.py",
        "node_modules/flow.py",
    ],
)
@pytest.mark.parametrize("above", [False, True])
def test_a_workflow_file_is_bundled_whatever_it_is_called(
    project: Path, name: str, above: bool
) -> None:
    text = (
        WITH_FUNCTION.replace('"w", ', f'"w", root="{project}", body=') if above else WITH_FUNCTION
    )
    write(project, {name: text, "tests/unneeded.py": "", "test_unneeded.py": ""})
    workflow = load_workflow(project / name)
    file = name if above else Path(name).name
    assert f'"{file.removesuffix(".py").replace("/", ".")}:f"' in entry(workflow)
    assert file in workflow.bundle().files
    assert not {"tests/unneeded.py", "test_unneeded.py"} & {*workflow.bundle().files} - {file}


def test_a_workflow_file_without_functions_is_bundled_unless_it_is_ignored(project: Path) -> None:
    write(
        project,
        {
            "run.sh": "",
            "test_flow.py": START + 'w = Workflow("w", steps.shell("a", argv=["./run.sh"]))',
        },
    )
    (project / "run.sh").chmod(0o755)
    assert load_workflow(project / "test_flow.py").bundle().files == ("run.sh", "test_flow.py")
    write(project, {".kaonignore": "test_flow.py"})
    assert load_workflow(project / "test_flow.py").bundle().files == ("run.sh",)


MODULES = {
    "tests/__init__.py": "",
    "tests/conftest.py": "from . import test_deep\nfrom .inner.test_more import x",
    "tests/test_deep.py": "import tests.inner.test_last as last",
    "tests/inner/__init__.py": "from ..test_up import *",
    "tests/inner/test_more.py": "x = 1",
    "tests/inner/test_last.py": "",
    "tests/test_up.py": "",
    "tests/test_unneeded.py": "",
    "test_lazy.py": "try:\n from test_tried import g\nexcept ImportError:\n pass",
    "test_tried.py": "def g(): ...",
    "conftest.py": "from test_all import *",
    "test_all/__init__.py": '__all__ = ["test_part", "VALUE"]\nVALUE = 1',
    "test_all/test_part.py": "",
    "test_types.py": "",
    "namespace/test_member.py": "",
    "test_compiled.pyc": "",
}


def test_what_a_step_imports_is_followed_through_packages_and_relative_imports(
    project: Path,
) -> None:
    imports = (
        "from typing import TYPE_CHECKING\nfrom tests import conftest\nimport namespace.test_member\n"
        "def f():\n import test_lazy\n with open('x'):\n  import conftest, test_compiled\n  import json, os.path\n"
        "if TYPE_CHECKING:\n import test_types\n"
    )
    (project / "tests").mkdir()
    write(project, {**MODULES, "flow.py": START + imports + BODY})
    left_out = {"tests/test_unneeded.py", "test_types.py"}
    assert load_workflow(project / "flow.py").bundle().files == tuple(
        sorted({*MODULES, "flow.py"} - left_out)
    )


def test_a_module_of_functions_that_an_ignore_rule_leaves_out_is_refused_with_the_rule(
    project: Path,
) -> None:
    write(
        project,
        {
            "flow.py": START + "from lib.steps import f\n" + BODY,
            "lib/steps.py": "import lib.help.deep\ndef f(): ...",
            "lib/help/deep.py": "",
            ".kaonignore": "# nothing\nlib/help/\n",
        },
    )
    workflow = load_workflow(project / "flow.py")
    told = r"steps\.py:1: lib/help/deep\.py is left out of the code bundle by line 2 of \.kaonignore \(lib/help/\)"
    with pytest.raises(WorkflowError, match=told):
        workflow.definition()
    write(project, {".kaonignore": "lib/help/\n!lib/help/deep.py"})
    assert "lib/help/deep.py" in load_workflow(project / "flow.py").bundle().files


def test_files_that_steps_name_are_bundled_whatever_they_are_called(project: Path) -> None:
    scripts = {
        "tests/run.py": "import test_beside",
        "tests/test_beside.py": "import test_next",
        "tests/test_next.py": "",
    }
    steps = 'steps.spark("a", "tests/run.py") >> steps.r("b", "tests/x.R") >> steps.shell("c", argv=["./.bin/run"])'
    write(
        project,
        {
            **scripts,
            "tests/x.R": "",
            ".bin/run": "",
            "flow.py": START + f'w = Workflow("w", {steps})\n',
        },
    )
    (project / ".bin/run").chmod(0o755)
    assert load_workflow(project / "flow.py").bundle().files == (
        ".bin/run", "flow.py", "tests/run.py", "tests/test_beside.py", "tests/test_next.py", "tests/x.R",
    )  # fmt: skip


def test_what_the_words_of_a_shell_step_name_is_bundled_or_refused(project: Path) -> None:
    text = (
        START
        + "w = Workflow('w', steps.shell('a', argv=['perl', '-I${KAON_BUNDLE}/no', '${KAON_BUNDLE}/%s', '1']))\n"
    )
    write(
        project,
        {
            "tests/load.pl": "",
            "tests/test_more.py": "import test_deep",
            "tests/test_deep.py": "",
            "lib/x.pm": "",
        },
    )
    for named, more in (("tests/load.pl", []), ("tests/test_more.py", ["tests/test_deep.py"])):
        write(project, {"flow.py": text % named})
        wanted = sorted(["flow.py", "lib/x.pm", named, *more])
        assert list(load_workflow(project / "flow.py").bundle().files) == wanted
    for named in ("lib", "lib/", "./"):
        write(project, {"flow.py": text % named})
        assert load_workflow(project / "flow.py").bundle().files == ("flow.py", "lib/x.pm")
    for named, told in (
        ("tests", r"flow\.py:2: tests/ is left out of the code bundle; take it in with !tests/"),
        ("gone.pl", r"flow\.py:2: step 'a': there is no file 'gone\.pl'"),
        ("../x", r"flow\.py:2: step 'a': file '\.\./x' lies outside"),
    ):
        write(project, {"flow.py": text % named})
        with pytest.raises(WorkflowError, match=told):
            load_workflow(project / "flow.py").definition()


def test_a_link_to_a_file_of_the_directory_takes_its_target_along(project: Path) -> None:
    write(
        project, {"tests/x.R": "1", "flow.py": START + 'w = Workflow("w", steps.r("a", "x.R"))\n'}
    )
    (project / "x.R").symlink_to("tests/x.R")
    workflow = load_workflow(project / "flow.py")
    assert '"tests/x.R"' in entry(workflow)
    assert workflow.bundle().files == ("flow.py", "tests/x.R", "x.R")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            "from above import f\n",
            r"flow\.py:4: step 'a': function 'f': {0}/above\.py is outside of {0}/flows, .*",
        ),
        (
            "import above\ndef f(): ...\n",
            r"flow\.py:3: import of 'above': {0}/above\.py is outside of {0}/flows, .*",
        ),
        (
            "def f():\n from above import f\n",
            r"flow\.py:4: import of 'above': {0}/above\.py is outside",
        ),
        ("from kind import C as f\n", r"function 'C': {0}/kind\.py is outside of {0}/flows, .*"),
    ],
)
def test_code_in_a_parent_directory_is_refused_with_what_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch, lines: str, told: str
) -> None:
    monkeypatch.syspath_prepend(project)
    write(
        project,
        {
            "above.py": "def f(): ...",
            "kind.py": "class C: ...",
            "flows/flow.py": START + "\n" + lines + BODY,
        },
    )
    with pytest.raises(WorkflowError, match=told.format(re.escape(str(project)))) as caught:
        load_workflow(project / "flows/flow.py").definition()
    assert f'Workflow(..., root="{project}")' in str(caught.value)


def test_with_the_common_root_code_in_a_parent_directory_is_bundled(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project)
    text = f'from above import f\nw = Workflow("w", steps.python("a", f), root="{project}")\n'
    write(project, {"above.py": "def f(): ...", "tests/test_flow.py": START + text})
    workflow = load_workflow(project / "tests/test_flow.py")
    assert '"above:f"' in entry(workflow)
    assert workflow.bundle().files == ("above.py", "tests/test_flow.py")


def test_a_module_beside_the_workflow_that_runners_know_by_another_name_is_refused(
    project: Path,
) -> None:
    text = (
        f'import beside\ndef f(): ...\nw = Workflow("w", steps.python("a", f), root="{project}")\n'
    )
    write(project, {"flows/beside.py": "", "flows/flow.py": START + text})
    with pytest.raises(
        WorkflowError, match=r"flow\.py:2: import of 'beside': .* import it as 'flows\.beside'"
    ):
        load_workflow(project / "flows/flow.py").definition()


def test_a_state_directory_beside_the_workflow_stays_out_of_its_bundle(project: Path) -> None:
    (project / "flow.py").write_text(
        'from kaon import Workflow, steps\ndef run(): pass\nworkflow = Workflow("w", steps.python("a", run))\n'
    )
    before = load_workflow(project / "flow.py").version
    (project / "state" / "artifacts").mkdir(parents=True)
    (project / "state" / "kaon.db").write_bytes(b"SQLite format 3")
    (project / "state" / "artifacts" / "ab12").write_bytes(b"a model")
    assert load_workflow(project / "flow.py").version == before


def test_installed_packages_need_no_place_in_the_bundle(project: Path) -> None:
    write(
        project,
        {
            "flow.py": START
            + "from structlog import get_logger as f\nimport kaon_wire, pytest\n"
            + BODY
        },
    )
    workflow = load_workflow(project / "flow.py")
    assert '"structlog._config:get_logger"' in entry(workflow)
    assert workflow.bundle().files == ("flow.py",)


@pytest.mark.parametrize("name", ["env", ".venv", "my-tools", "linked"])
def test_an_environment_is_neither_bundled_nor_followed(
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    place = project / name if name != "linked" else tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(place, with_pip=False)
    (packages,) = place.glob("lib/python*/site-packages")
    write(packages, {"tool.py": "def f(): ..."})
    if name == "linked":
        (project / name).symlink_to(place)
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    write(project, {"flow.py": START + "from tool import f\n" + BODY})
    workflow = load_workflow(project / "flow.py")
    assert '"tool:f"' in entry(workflow)
    assert workflow.bundle().files == ("flow.py",)


def test_other_environments_are_left_out_and_none_is_the_root(project: Path) -> None:
    write(project, {"conda/conda-meta/history": "", "conda/lib.py": "", "flow.py": WITH_FUNCTION})
    assert load_workflow(project / "flow.py").bundle().files == ("flow.py",)
    write(project, {"pyvenv.cfg": ""})
    with pytest.raises(WorkflowError, match="is a Python environment itself"):
        load_workflow(project / "flow.py").definition()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "def f(): ...\na = steps.python('a', f)\ndef f(): ...\nw = Workflow('w', a)\n",
            r"flow\.py:3: step 'a' was given the function in line 2 of .*flow\.py, but runners look for flow\.f and find the "
            r"function in line 4 of .*flow\.py",
        ),
        (
            "def f(): ...\na = steps.python('a', f)\ndel f\nw = Workflow('w', a)\n",
            r"flow\.py:3: .* and find nothing",
        ),
        (
            "def f(): ...\na = steps.python('a', f)\nf = 3\nw = Workflow('w', a)\n",
            r"flow\.py:3: .* and find 3;",
        ),
        (
            "import functools\ndef g(): ...\n@functools.wraps(g)\ndef f(): ...\nw = Workflow('w', steps.python('a', f))\n",
            r"flow\.py:6: .* look for flow\.g and find the function in line 3",
        ),
        (
            "class C:\n def f(): ...\na = steps.python('a', C.f)\nclass C:\n def f(): ...\nw = Workflow('w', a)\n",
            r"flow\.py:4: .* given the function in line 3 .* look for flow\.C\.f and find the function in line 6",
        ),
    ],
)
def test_a_function_that_runners_would_not_call_is_refused(
    build: Callable[[str], Workflow], text: str, told: str
) -> None:
    workflow = build(START + text)
    with pytest.raises(WorkflowError, match=told):
        workflow.definition()


@pytest.mark.parametrize(
    "text",
    [
        "import functools\n@functools.cache\ndef f(): ...\n" + BODY,
        "import functools\ndef f(): ...\na = steps.python('a', f)\nf = functools.cache(f)\nw = Workflow('w', a)\n",
        "class C:\n @classmethod\n def f(cls): ...\n @staticmethod\n def g(): ...\n"
        "w = Workflow('w', steps.python('a', C.f) >> steps.python('b', C.g) >> steps.python('c', C))\n",
    ],
)
def test_a_function_that_runners_find_is_accepted(
    build: Callable[[str], Workflow], text: str
) -> None:
    assert build(START + text).definition().code_bundle


@pytest.mark.parametrize("name", ["kaon.py", "kaonapi/__init__.py", "kaon_wire.py"])
def test_a_file_that_would_be_imported_in_place_of_kaon_is_refused(
    project: Path, name: str
) -> None:
    write(project, {name: "", "flow.py": WITH_FUNCTION, "deep/flow.py": WITH_FUNCTION})
    told = re.escape(f"{project / name} has the name of a part of Kaon")
    with pytest.raises(WorkflowError, match=told):
        load_workflow(project / "flow.py")
    if name.endswith("kaon.py"):
        with pytest.raises(WorkflowError, match=told):
            load_workflow(project / name)
    write(
        project, {"deep/flow.py": WITH_FUNCTION.replace('"w", ', f'"w", root="{project}", body=')}
    )
    with pytest.raises(
        WorkflowError, match=re.escape(f"{name} in {project} has the name of a part of Kaon")
    ):
        load_workflow(project / "deep/flow.py").definition()


def test_a_directory_that_python_does_not_take_for_kaon_is_no_obstacle(project: Path) -> None:
    write(project, {"kaon/notes.txt": "", "flow.py": WITH_FUNCTION})
    assert load_workflow(project / "flow.py").definition().code_bundle


@pytest.mark.parametrize("name", ["json.py", "signal.py"])
def test_a_workflow_in_place_of_a_module_that_runners_have_loaded_is_refused(
    project: Path, name: str
) -> None:
    write(project, {name: WITH_FUNCTION})
    with pytest.raises(WorkflowError, match=f"has the name of Python's own module '{name[:-3]}'"):
        load_workflow(project / name)


def test_files_with_names_of_pythons_modules_are_told(project: Path) -> None:
    files = {
        "types.py": "",
        "token.py": "",
        "json/__init__.py": "",
        "json/signal.py": "",
        "test/__init__.py": "",
    }
    write(project, {**files, "deep/types.py": "", "cmd.txt": "", "flow.py": WITH_FUNCTION})
    told = load_workflow(project / "flow.py").warnings
    assert [text.split(" has the name of Python's own module ")[0] for text in told] == [
        "json/__init__.py", "token.py", "types.py",
    ]  # fmt: skip
    write(project, {".kaonignore": "/json/\n/t*.py\n"})
    assert not load_workflow(project / "flow.py").warnings


def test_what_is_imported_later_does_not_come_from_the_workflows_directory(project: Path) -> None:
    write(project, {"flow.py": WITH_FUNCTION})
    before = list(sys.path)
    load_workflow(project / "flow.py")
    assert sys.path == before


def test_a_link_to_a_module_is_the_module(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = tmp_path_factory.mktemp("shared") / "lib.py"
    shared.write_text("def f(): ...")
    (project / "lib.py").symlink_to(shared)
    write(project, {"flow.py": START + "from lib import f\n" + BODY})
    workflow = load_workflow(project / "flow.py")
    assert '"lib:f"' in entry(workflow)
    assert workflow.bundle().files == ("flow.py", "lib.py")


def test_a_module_that_is_no_python_is_told_with_its_line(project: Path) -> None:
    write(project, {"lib.py": "\nx = (\n", "flow.py": START + "def f():\n import lib\n" + BODY})
    with pytest.raises(WorkflowError, match=r"lib\.py:2: SyntaxError"):
        load_workflow(project / "flow.py").definition()
    (project / "lib.py").unlink()
    os.mkfifo(project / "test_lib.py")
    assert load_workflow(project / "flow.py").definition()
