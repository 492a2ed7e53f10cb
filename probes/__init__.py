"""The judge: does the new adapter still know the person? Shares no code with `unlearn`.

Start at `probes.judge.judge` and `probes.report.write_report`; what goes in is in `probes.dossier`.
"""
