/* A TorchScript module as a network: a program of somebody else that turns pixels into local logits, with the geometry that its
 * user states. It is run only where the user trusts it (--trust, PATCHGAUGE_TRUST). */
#ifndef PG_MODELS_TORCHSCRIPT_H
#define PG_MODELS_TORCHSCRIPT_H

#include "models/import.h"

/* Imports a module, which is run in a process of its own: [n][3][h][w] -> local logits [n][classes][H][W]. Positions and
 * classes are those of its answer; receptive field, stride and padding are what the user states, and changed pixels try them: a
 * position that changes though nothing in its field did is an error. The module becomes part of the weights file. PG_EINPUT,
 * PG_EDAMAGED, ... */
int pg_script_import(const pg_import_job *job, pg_buf *report) PG_MUST_USE;

/* A module of bytes[size] on the scope's device; *new*, script_close of the table. PG_EDAMAGED with what libtorch says. */
int pg_script_open(pg_scope *scope, const void *bytes, size_t size, pg_module_script **out) PG_MUST_USE;

/* PG_OK where the user trusts TorchScript; else PG_EINPUT, with the way out. `what` names the file. */
int pg_script_trusted(const char *what) PG_MUST_USE;

#endif
