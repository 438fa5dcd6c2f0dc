"""The gateway: HTTP in front of the topics and the ledger. What it answers 2xx to, Kafka has.

A group of routes is a module with a `router`, listed in `app.ROUTERS`, its actions in `actions.ACTIONS`.
"""
