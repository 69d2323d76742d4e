/*-------------------------------------------------------------------------
 *
 * graphmem_compute.c
 *	  Entry of the module that computes: what the server looks for before it
 *	  takes a library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;
