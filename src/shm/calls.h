/*-------------------------------------------------------------------------
 *
 * calls.h
 *	  The functions whose calls are counted and whose progress is shown.
 *
 * Each is GM_CALL(name); the includer says what that means.
 *
 *-------------------------------------------------------------------------
 */
GM_CALL(check)
GM_CALL(components)
GM_CALL(confidence)
GM_CALL(drop_graph)
GM_CALL(forget_entity)
GM_CALL(forget_source)
GM_CALL(fusion_query)
GM_CALL(match)
GM_CALL(neighbors)
GM_CALL(pagerank)
GM_CALL(paths)
GM_CALL(reach)
GM_CALL(recall_check)
GM_CALL(refresh_topology)
GM_CALL(set_embeddings)
GM_CALL(shortest_path)
GM_CALL(similar)
GM_CALL(subgraph)
GM_CALL(traverse)
GM_CALL(vector_search)
GM_CALL(vector_search_batch)
