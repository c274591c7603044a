"""Whether a schedule may still act: its tenant, the roles of who put it, and the topics that the tenant is granted."""

from __future__ import annotations

from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.records import TenantRecord, TokenRecord
from kaon_service.principal import Principal
from kaon_service.roles import Role, included
from kaon_wire import topics
from kaonapi.schedule.v1 import schedule_pb2 as s

_OFF = "off"
_PAGE = 500


def putter(tenant: str, schedule: s.Schedule) -> Principal:
    """Return the principal for whom a schedule acts; those from before there was authentication act for anybody."""
    return Principal(
        tenant=tenant,
        name=schedule.put_by or f"schedule:{schedule.name}",
        roles=frozenset(schedule.put_roles),
        authentication=schedule.put_authentication or _OFF,
    )


def submitter(tenant: str, schedule: s.Schedule) -> str:
    """Return who submits the runs of a schedule: the principal who put it, as far as that is known."""
    caller = putter(tenant, schedule)
    return f"schedule:{schedule.name}" if caller.authentication == _OFF else caller.name


def problem(store: AccessStore, tenant: str, schedule: s.Schedule, now_us: int) -> str:
    """Return why a schedule may submit nothing; empty when nothing is in the way. Blocks."""
    caller, record = putter(tenant, schedule), store.find_tenant(tenant)
    authenticated = caller.authentication != _OFF
    if authenticated and record is None:
        return f"there is no tenant {tenant} any more"
    if record is not None and not record.enabled:
        return f"tenant {tenant} is disabled"
    if caller.authentication == "token" and not _has_token(store, caller, now_us):
        return (
            f"{caller.name}, who put it, has no valid token with role {Role.AUTHOR} any more: somebody who has one puts it "
            "again"
        )
    return topic_problem(schedule, caller, record)


def topic_problem(schedule: s.Schedule, caller: Principal, tenant: TenantRecord | None) -> str:
    """Return why a schedule may not read one of its topics; empty when it may, or reads none that a client names."""
    triggers = (trigger for each in schedule.triggers.any for trigger in each.all)
    named = [schedule.record_arrived.topic, *(trigger.record_arrived.topic for trigger in triggers)]
    problems = (_problem(topic, caller, tenant) for topic in named if topic)
    return next(filter(None, problems), "")


def _problem(topic: str, caller: Principal, tenant: TenantRecord | None) -> str:
    if topics.is_own(topic):
        return f"topic {topic!r} is Kaon's or the broker's own: schedules do not read it"
    granted = tenant is not None and topic in tenant.topics
    if granted or caller.holds(Role.PLATFORM_ADMIN):
        return ""
    return f"tenant {caller.tenant} is not granted topic {topic!r}: role {Role.PLATFORM_ADMIN} grants it (kaon tenants put)"


def _has_token(store: AccessStore, caller: Principal, now_us: int) -> bool:
    """Tell whether a valid static token makes this principal an author."""
    page_token = ""
    while True:
        page = store.list_tokens(caller.tenant, page_size=_PAGE, page_token=page_token)
        if any(_makes_author(token, caller.name, now_us) for token in page.tokens):
            return True
        page_token = page.next_page_token
        if not page_token:
            return False


def _makes_author(token: TokenRecord, name: str, now_us: int) -> bool:
    ended = token.revoke_us > 0 or 0 < token.expire_us <= now_us
    return token.name == name and not ended and Role.AUTHOR in included(token.roles)
