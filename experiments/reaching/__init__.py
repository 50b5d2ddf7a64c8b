"""Meet partners of unknown type in CooperativeReaching, compared with published figures; results in
results/reaching/.
"""
