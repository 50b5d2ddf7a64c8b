"""Methods that the agent is compared with, trained on as many environment steps.

Each file holds a `Method` (`bestreply.run.Method`), registered in
`bestreply.run.METHODS`. Two further competitors need no training and are methods of
evaluation (`evaluate.methods`): the agent's planner with uniform opponents, and with the
opponents' types given.
"""
