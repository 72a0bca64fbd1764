"""What any static server must survive: scenarios, their score, and servers broken on purpose.

A scenario (scenario.py) is a function of a running server and a folder of files. It returns its
figure, raises NotApplicable, or fails by any other exception. test_scenarios.py runs each of them
on the server that --server names; test_broken.py shows that each can fail.
"""
