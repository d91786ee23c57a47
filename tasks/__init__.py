"""Verbs: the tasks, and the only code that may import fabric, invoke, paramiko or requests.

A module without an underscore is a task or a family of them. `_host` alone touches SSH,
`_api` alone speaks HTTP to Harbor, `_report` alone prints.
"""
