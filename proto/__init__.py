"""The wire format: `.proto` files and the code generated from them, nothing else.

Each version of the API has a folder. Generated code is checked in and never edited (`make proto` writes it, `make lint`
compares it). What a message means in terms of the domain is `wire/`'s affair.
"""
