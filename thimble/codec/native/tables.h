/* Tables of codes: curves of frequencies for rANS, code lengths for Huffman. */
#ifndef THIMBLE_TABLES_H
#define THIMBLE_TABLES_H

#include "cursor.h"

/* Straight lines between knots in the logarithm (SPEC section 5, rANS table). */
typedef struct {
    uint32_t knots;
    uint32_t resolution;
    uint32_t spacing;
    int32_t levels[TH_MAX_ALPHABET];
} th_curve;

uint32_t th_knot_place(uint32_t knot, uint32_t knots, uint32_t spacing, uint32_t alphabet);
int th_curve_fits(const th_curve *curve, uint32_t alphabet);
void th_curve_frequencies(const th_curve *curve, uint32_t alphabet, uint32_t scale,
                          uint16_t *frequencies);
int th_read_curve(th_cursor *cursor, uint32_t alphabet, th_curve *curve);
int th_read_frequencies(th_cursor *cursor, uint32_t alphabet, uint32_t scale,
                        uint16_t *frequencies);
int th_read_lengths(th_cursor *cursor, uint32_t alphabet, uint16_t *lengths);
void th_canonical_codes(const uint16_t *lengths, uint32_t alphabet, uint16_t *codes);

#endif
