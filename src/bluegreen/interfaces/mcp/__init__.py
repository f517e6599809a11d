"""The door for agents: the Model Context Protocol, over HTTP in the daemon and over standard input and output.

server              what a client sees: tools, resources, prompts; the same over both transports
backend             how an operation is reached: the gate, or (socket_backend, unix_http) the daemon's socket
tools               operations as tools, answers and errors as their results
progress            what happens meanwhile, for a client that waits for a deployment
resources           what can be read by address; configuration_text is the configuration without its secrets
prompts             how to deploy and how to roll back, in words for an agent
http, stdio         the two transports
"""
