"""Play rock-paper-scissors against the 43 programs that ship with OpenSpiel; results in
results/roshambo/.

Parts of the library: `OpponentModel` (`model.Programs` subclasses it), the game
(`matrix(table=rock_paper_scissors)`), files and provenance. A test plays the same model
through `bestreply.planning.agent.Agent` with `one_step` and gamma 0, and gets the same
throws.

Not the library's, because 1000 throws against 43 programs with a hidden state of their
own need it:

- `experts`: 66 online predictors and their mixture, which are inputs of the network.
- `model.Net`: a recurrent network with a read-out for each program; `learning`: its
  training loop, on the programs' throws alone.
- `players`: the loop over matches and the best reply to a prediction, in NumPy. The
  reward is known, so no world model is learned.
- `programs`: matches against C programs that share one random generator.
"""
