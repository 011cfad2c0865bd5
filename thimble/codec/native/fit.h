/* Finds the cheapest table for a stream. All arithmetic is on integers: equal counts give equal
 * tables on every machine. */
#ifndef THIMBLE_FIT_H
#define THIMBLE_FIT_H

#include "tables.h"

/* Costs are counted in 1/1024 bit. */
enum { TH_COST_UNIT = 1024 };

uint32_t th_log2(uint64_t value); /* of a value of at least 1, in 1/1024 */
uint64_t th_fit_curve(const uint64_t *counts, uint32_t alphabet, th_plan *plan);
void th_huffman_lengths(const uint64_t *counts, uint32_t alphabet, uint16_t *lengths);

#endif
