"""Names that Optuna's users know, for what Wazir calls otherwise: `wazir.samplers`, `wazir.pruners`, `wazir.trial`, ...

They are for scripts that come from Optuna: with `import wazir as optuna`, these attributes are found where the script
looks for them. Optuna itself is never imported.
"""
