# What an R step knows and says. Loaded before the step's script, in the same environment.

# A value that is bound to the step: JSON values as R's (a list of numbers or texts as a vector, an object as a named list), an
# artifact as the path of its local copy.
kaon_input <- function(name) {
  if (!(name %in% names(..kaon_inputs))) {
    stop("the step has no input ", name, "; it has: ", paste(names(..kaon_inputs), collapse = ", "), call. = FALSE)
  }
  ..kaon_inputs[[name]]
}

# A dataset that is bound to the step, as a data frame.
kaon_dataset <- function(name) ..kaon_dataset(name)

# Gives the step's output `name` a value: a scalar, a vector or a named list.
kaon_output <- function(name, value) ..kaon_output(name, value)

# Where to write the artifact output `name`, as a file or a directory; `extension` ends the file's name, such as ".csv.gz".
kaon_artifact_path <- function(name, extension = "") ..kaon_artifact_path(name, extension)

# How far the step has come: a fraction from 0 to 1, and in words.
kaon_progress <- function(fraction, message = "") invisible(..kaon_progress(fraction, message))

# Reports a number; `step` says how far the step has come, such as its epoch.
kaon_metric <- function(name, value, step = integer(0)) invisible(..kaon_metric(name, value, step))

# The messages to this step that have come since the last call: a list of lists with name, payload and seq.
kaon_signals <- function() ..kaon_signals()

# The next message (of this name) as a list with name, payload and seq; NULL when none came within `timeout` seconds.
kaon_wait_signal <- function(name = "", timeout = -1) {
  found <- ..kaon_wait_signal(name, timeout)
  if (length(found) == 0) NULL else found[[1]]
}

# Ends the step here, as skipped, and says why.
kaon_skip <- function(why) {
  ..kaon_skip(why)
  stop("skipped: ", why, call. = FALSE)
}

# The iteration of the innermost repeat, from 1; 0 outside of a repeat.
kaon_iteration <- function() ..kaon_iteration
