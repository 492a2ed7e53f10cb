"""Runs it: Dagster definitions, the command line, the launcher. The only room that knows Dagster or joins the others."""
