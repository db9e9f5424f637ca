"""What the program costs beside bare boto3, Terraform and Ansible: whole processes, in turn, on one strict EC2.

A machine that slows down slows both sides, so results are ratios within one run. Nothing here is a test.
"""
