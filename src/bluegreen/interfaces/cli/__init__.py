"""The command line. It holds no logic of its own: it asks the daemon and draws the answer.

app             the commands and how errors leave; `run(arguments)`
options         arguments and options that several commands share
location        which configuration, and from it the daemon's socket
client          one request to the daemon; decoding turns its JSON into the views
*_commands      the commands, a module per subject, loaded only when one of them is typed
follower        follows a deployment to the moment the user waits for
sentences       events as sentences; summary has the last words of a deployment
*_screen        what is drawn with rich
reference       writes docs/cli.md from the commands
"""
