"""The acceptance kit: runs the installed program against the account and the Region of the environment.

    python -m tests.acceptance run        # or make acceptance
    python -m tests.acceptance clean      # or make acceptance-clean

`run` makes a scratch VPC, plays the scenes (`story`, `failover`), asks the questions of `probes`, writes what it
saw (`results`) and deletes everything that it made (`cleanup`). All resources have the tag `account.TAG`, and no
resource without it is changed. The kit needs boto3 and click, and uses none of the other tests.
"""
