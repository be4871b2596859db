"""What every part agrees on: constants, errors, units, fields, grids and the component contract.

Imports nothing else of ours.
"""
