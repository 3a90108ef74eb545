"""Which op did what (`attribution`), and which features carry a recommendation (`explanation`).

Both share out a whole among its parts: `games` has the values of Shapley and of leaving one out.
"""
