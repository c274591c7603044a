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

# Where to write the artifact output `name`, as a file or a directory.
kaon_artifact_path <- function(name) ..kaon_artifact_path(name)

# How far the step has come: a fraction from 0 to 1, and in words.
kaon_progress <- function(fraction, message = "") invisible(..kaon_progress(fraction, message))

# Reports a number.
kaon_metric <- function(name, value) invisible(..kaon_metric(name, value))

# The pass of the innermost repeat, from 1; 0 outside of a repeat.
kaon_iteration <- function() ..kaon_iteration
