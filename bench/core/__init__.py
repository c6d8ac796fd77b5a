"""The floor of the house: types, contracts, errors and plug-in tables; imports nothing of ours and no framework."""
