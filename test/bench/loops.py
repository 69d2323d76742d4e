def section_loops(table, triples, quick): pass
def section_vectors(table, quick, fusion): pass
