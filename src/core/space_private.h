/*-------------------------------------------------------------------------
 *
 * space_private.h
 *	  What space.c, which changes and scans rows, and space_index.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_SPACE_PRIVATE_H
#define GM_CORE_SPACE_PRIVATE_H

#include "core/space.h"

#define GM_SPACE_GATHERED	256		/* rows collected before they are compared */

/* what ties are broken by: rows, or the item ids as unsigned numbers of their order */
static inline uint64_t
gm_space_rank_id(const GmSpace *space, uint32_t row)
{
	if (gm_likely(space->root->sp_ordered))
		return row;
	return (uint64_t) gm_space_item_id(space, row) ^ ((uint64_t) 1 << 63);
}

static inline uint32_t
gm_space_ranked_row(const GmSpace *space, uint64_t id)
{
	if (space->root->sp_ordered)
		return (uint32_t) id;
	return gm_space_find(space, (int64_t) (id ^ ((uint64_t) 1 << 63)));
}

/* full distances of n rows into top; the rows are fetched ahead */
extern GmStatus gm_space_push_rows(const GmSpace *space, const GmSpaceQuery *query,
								   const uint32_t *row, uint32_t n, GmTopk *top);

/* writer, inside a version: the vector is in the table only, if vectors are apart */
extern GmStatus gm_space_leave_to_table(GmSpace *space, uint32_t row);

/* of a row's vector, which may lie anywhere */
extern float gm_space_distance_to(const GmSpace *space, const GmSpaceQuery *query, uint32_t row,
								  const float *vector);

/*
 * space_table.c: the vectors of rows wherever they are, some at a time.
 */
typedef struct GmSpaceReader
{
	const GmSpace *space;
	uint32_t	room;			/* rows at a time */
	const float **vector;		/* of the rows asked for; NULL: nowhere */
	void	   *memory;
	float	   *read;
	int64_t    *item_id;
	uint32_t   *place;			/* among the rows asked for */
	bool	   *there;
} GmSpaceReader;

/* for n rows in all */
extern GmStatus gm_space_reader_begin(const GmSpace *space, uint32_t n, GmSpaceReader *reader);
extern GmStatus gm_space_reader_read(GmSpaceReader *reader, const uint32_t *rows, uint32_t n);
extern void gm_space_reader_end(GmSpaceReader *reader);

/* where gm_space_add has made the row, and where gm_space_finish begins and ends */
extern GmStatus gm_encoder_add(GmSpace *space, uint32_t row, const float *vector);
extern GmStatus gm_encoder_flush(GmSpace *space);
extern GmStatus gm_encoder_finish(GmSpace *space);
extern void gm_encoder_free(GmSpace *space);

/* a vector more in the sum that the centre of an index is the mean of */
static inline void
gm_centre_add(const float *vector, double scale, uint32_t dim, double *sum)
{
	for (uint32_t i = 0; i < dim; i++)
		sum[i] += vector[i] * scale;
}

/* writer, inside a version: an element for changing; a longer array, zeros behind */
extern GmStatus gm_space_writable(GmSpace *space, GmArray *array, uint64_t i, void *element);
extern GmStatus gm_space_extend(GmSpace *space, GmArray *array, uint64_t n);
extern GmStatus gm_space_shorten(GmSpace *space, GmArray *array, uint64_t n);

/*
 * The same for the mapping, which space.c calls where a row comes, loses its
 * vector to another, goes, or takes the place of one that went.  They do
 * nothing while there is no index.
 */
extern GmStatus gm_mapping_row_added(GmSpace *space, uint32_t row);
extern GmStatus gm_mapping_row_changed(GmSpace *space, uint32_t row);
extern GmStatus gm_mapping_row_removed(GmSpace *space, uint32_t row);
extern GmStatus gm_mapping_row_moved(GmSpace *space, uint32_t from, uint32_t to);

/* writer, inside a version: the index goes, and rows may be left without any vector */
extern GmStatus gm_mapping_free(GmSpace *space);

#endif							/* GM_CORE_SPACE_PRIVATE_H */
