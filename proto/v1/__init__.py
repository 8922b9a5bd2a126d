"""Version 1 of the API, protobuf package `wazir.v1`: the `.proto` files and what `make proto` generates from them.

Hand-written code does not belong here; a change to a `.proto` file comes with its regenerated modules in one commit.
"""
