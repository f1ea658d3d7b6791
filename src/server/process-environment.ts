/**
 * What the C library is told where a control plane runs (docs/decisions/memory-of-a-stream.md). Each TLS connection has a block of 64 KiB to read into, of which
 * it fills a few. Taken from the system they cost what is filled; from the heap, where other blocks of that size come and go, they cost all of it.
 */
export const SERVER_ENVIRONMENT: { readonly [name: string]: string } = { MALLOC_MMAP_THRESHOLD_: '65536' };
