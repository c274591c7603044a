"""Tells channels outside of Kaon (e-mail, Slack, webhooks) what becomes of runs.

The commit of an event stores a notice for each channel that the workflow names; the notifier delivers it, and tries again when
that fails. The engine knows nothing of it.
"""
