"""Machines that answer an Ising problem in their own way, simulated here: annealers, coherent Ising machines, bifurcation.

Most are optimisers: their raw reads are colder than asked and weigh modes wrongly. Each says so in `kind`, takes a
`scale` of the problem that sets its temperature, and `correction_sweeps` of Gibbs updates that finish its reads.
"""
