/*-------------------------------------------------------------------------
 *
 * error.h
 *	  core/'s status codes as the server's errors: the only such place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_ERROR_H
#define GM_ERROR_H

#include "core/base.h"

/*
 * Raises the error that the status stands for; returns if it is GM_OK.
 * GM_INTERRUPTED raises whatever interrupt is pending (cancel, timeout,
 * termination).  what: a noun phrase for the message, "loading graph \"x\"".
 */
extern void gm_error_check(GmStatus status, const char *what);

/*
 * In PG_CATCH: the error is raised by gm_error_check for GM_INTERRUPTED, which
 * the function that caught it returns to core/.
 */
extern void gm_error_keep(void);
/* returns if there is none */
extern void gm_error_raise_kept(void);

/* The start of a value, for a message: values may have a gigabyte. */
extern char *gm_error_quote(const char *bytes, size_t len);

/* The callback to hand to core/: true when the server wants this query ended. */
extern const GmInterrupt gm_server_interrupt;

/* of the call that it is handed to, and who shows it; NULL: nobody does */
extern GmProgress gm_progress;
extern void (*gm_interrupt_look) (void);

#endif							/* GM_ERROR_H */
