"""Forage beside partners that are rules, of known and unknown type, compared with exact best replies;
results in results/foraging/.
"""
