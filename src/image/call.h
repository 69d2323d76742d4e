/*-------------------------------------------------------------------------
 *
 * call.h
 *	  Calls of this session's functions: counted, and shown while they run long.
 *
 * Between gm_call_begin and gm_call_end a call is the session's running one; a
 * call inside of another is a part of it.  An error ends it at the end of the
 * (sub)transaction that it was begun in, uncounted.
 *
 * A call shows itself to others once it has looked at interrupts for 100 ms,
 * and then tells at most once a millisecond how far it is, in its process's
 * entry of the area (shm/area.h, protocol calls).  Whoever looks at interrupts
 * calls gm_call_look; the core's loops do so through gm_server_interrupt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_CALL_H
#define GM_IMAGE_CALL_H

#include "core/base.h"
#include "shm/area.h"

/* false: it is a part of another, which goes on; gm_call_end is not for it */
extern bool gm_call_begin(GmCall call);
extern void gm_call_end(uint64_t rows, uint64_t records);

/* what the running call does; total 0: not known */
extern void gm_call_phase(GmPhase phase, uint64_t done, uint64_t total);
extern void gm_call_look(void);

/* a row was written: by the running call, if there is one */
extern void gm_call_wrote(void);
extern uint64_t gm_call_records(void);

#endif							/* GM_IMAGE_CALL_H */
