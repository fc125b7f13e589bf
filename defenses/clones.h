/* PG_CLONES before a function compiles it once per instruction set; the loader picks the widest one the machine has.
 *
 * Only integer kernels and kernels of exactly rounded operations carry it: every clone gives the same bits (no contraction into
 * fused multiply-adds, no reassociation). Sanitizers, other machines and builds with PG_PLAIN get the plain function. */
#ifndef PG_DEFENSES_CLONES_H
#define PG_DEFENSES_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && defined(__OPTIMIZE__) && !defined(PG_PLAIN)
#define PG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PG_CLONES
#endif

#endif
