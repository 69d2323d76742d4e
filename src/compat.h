/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  One stable name for what differs between PostgreSQL 15 and 18: the only
 *	  file that tests PG_VERSION_NUM.  Include it after postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPAT_H
#define GM_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "graphmem needs PostgreSQL 15 or later"
#endif

#include "utils/array.h"

#include "utils/guc.h"

#endif							/* GM_COMPAT_H */
