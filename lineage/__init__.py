"""What we hold and where it went: records, gate, vault, ledger, case, certificate. Imports no model and no orchestrator."""
