"""From Terraform's state to what export starts from, without a call to AWS. Pure.

``state`` reads the JSON, ``place`` chooses the Region and the account, ``translate`` turns attributes into live
records, ``taking`` says what Terraform has to forget and what it keeps.
"""
