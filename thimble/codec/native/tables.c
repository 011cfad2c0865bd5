#include "tables.h"

#include <stdlib.h>

/* floor(2^(24 + i/16)) */
static const uint32_t OCTAVE[16] = {16777216, 17520006, 18295683, 19105702, 19951584, 20834916,
                                    21757357, 22720637, 23726566, 24777031, 25874004, 27019544,
                                    28215801, 29465021, 30769549, 32131834};

uint32_t th_knot_place(uint32_t knot, uint32_t knots, uint32_t spacing, uint32_t alphabet) {
    uint32_t last = alphabet - 1;
    if (knot + 1 == knots) {
        return last;
    }
    if (spacing == 0) {
        return (uint32_t)((uint64_t)knot * last / (knots - 1));
    }
    if (knot < 2) {
        return knot < last ? knot : last;
    }
    if (knot / 2 > 16) {
        return last;
    }
    uint32_t place = knot % 2 ? 3u << ((knot - 3) / 2) : 1u << (knot / 2);
    return place < last ? place : last;
}

/* The knot before the last one must stand before it. */
int th_curve_fits(const th_curve *curve, uint32_t alphabet) {
    if (curve->knots < 1 || curve->knots > alphabet) {
        return 0;
    }
    if (curve->knots < 2 || curve->spacing == 0) {
        return 1;
    }
    return th_knot_place(curve->knots - 2, curve->knots, 1, alphabet) < alphabet - 1;
}

static int64_t floor_divide(int64_t value, int64_t divisor) {
    int64_t quotient = value / divisor;
    return quotient - (value % divisor < 0);
}

/* Write Y(s), in 1/16 octave, of every symbol; return the largest. */
static int32_t curve_heights(const th_curve *curve, uint32_t alphabet, int32_t *heights) {
    int32_t unit = 16 >> curve->resolution;
    int32_t best = curve->levels[0] * unit;
    if (curve->knots == 1) {
        memset(heights, 0, alphabet * sizeof *heights);
        return 0;
    }
    uint32_t from = 0;
    int32_t low = best;
    for (uint32_t knot = 1; knot < curve->knots; knot++) {
        uint32_t to = th_knot_place(knot, curve->knots, curve->spacing, alphabet);
        int32_t high = curve->levels[knot] * unit;
        for (uint32_t s = from; s < to; s++) {
            int64_t rise = (int64_t)(high - low) * (s - from);
            heights[s] = low + (int32_t)floor_divide(rise, to - from);
        }
        best = high > best ? high : best;
        low = high;
        from = to;
    }
    heights[alphabet - 1] = low;
    return best;
}

static uint64_t weight_of(int32_t depth) {
    uint32_t octaves = ((uint32_t)depth + 15) / 16;
    return octaves >= 40 ? 0 : (uint64_t)OCTAVE[16 * octaves - (uint32_t)depth] >> octaves;
}

void th_curve_frequencies(const th_curve *curve, uint32_t alphabet, uint32_t scale,
                          uint16_t *frequencies) {
    int32_t heights[TH_MAX_ALPHABET];
    int32_t top = curve_heights(curve, alphabet, heights);
    uint64_t sum = 0, free_slots = (1u << scale) - alphabet;
    uint32_t left = 1u << scale, peak = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        sum += weight_of(top - heights[s]);
        if (heights[s] > heights[peak]) {
            peak = s;
        }
    }
    for (uint32_t s = 0; s < alphabet; s++) {
        uint64_t share = weight_of(top - heights[s]) * free_slots / sum;
        frequencies[s] = (uint16_t)(1 + share);
        left -= frequencies[s];
    }
    frequencies[peak] = (uint16_t)(frequencies[peak] + left);
}

int th_read_curve(th_cursor *cursor, uint32_t alphabet, th_curve *curve) {
    const uint8_t *start = cursor->at;
    uint64_t knots;
    TH_TRY(th_varint(cursor, &knots));
    if (knots < 1 || knots > alphabet) {
        return TH_TABLE;
    }
    curve->knots = (uint32_t)knots;
    curve->resolution = curve->spacing = 0;
    curve->levels[0] = 0;
    if (knots == 1) {
        return TH_OK;
    }
    const uint8_t *form;
    TH_TRY(th_take(cursor, 1, &form));
    if (*form >> 6) {
        return TH_UNKNOWN;
    }
    curve->resolution = *form & 3;
    curve->spacing = *form >> 5 & 1;
    if (!th_curve_fits(curve, alphabet)) {
        return TH_TABLE;
    }
    th_bits bits = {cursor, 0, 0};
    for (uint32_t knot = 1; knot < curve->knots; knot++) {
        uint32_t code;
        TH_TRY(th_rice(&bits, *form >> 2 & 7, &code));
        int32_t step = code & 1 ? -(int32_t)(code / 2) - 1 : (int32_t)(code / 2);
        int32_t level = curve->levels[knot - 1] + step;
        if (level <= -32768 || level >= 32768) {
            return TH_TABLE;
        }
        curve->levels[knot] = level;
    }
    /* Each stream that names a table of the pool reads it again: a long one would multiply. */
    if (cursor->at - start > TH_MAX_TABLE_BYTES) {
        return TH_TABLE;
    }
    return th_bits_end(&bits);
}

int th_read_frequencies(th_cursor *cursor, uint32_t alphabet, uint32_t scale,
                        uint16_t *frequencies) {
    if (scale < TH_MIN_SCALE || 1u << scale < 2 * alphabet) {
        return TH_TABLE;
    }
    th_curve *curve = malloc(sizeof *curve);
    if (curve == NULL) {
        return TH_MEMORY;
    }
    int fault = th_read_curve(cursor, alphabet, curve);
    if (fault == TH_OK) {
        th_curve_frequencies(curve, alphabet, scale, frequencies);
    }
    free(curve);
    return fault;
}

int th_read_lengths(th_cursor *cursor, uint32_t alphabet, uint16_t *lengths) {
    const uint8_t *packed;
    uint64_t shares = 0;
    TH_TRY(th_take(cursor, (alphabet + 1) / 2, &packed));
    for (uint32_t s = 0; s < alphabet; s++) {
        lengths[s] = s % 2 ? packed[s / 2] & 15 : packed[s / 2] >> 4;
        shares += lengths[s] ? 1u << (TH_MAX_CODE_BITS - lengths[s]) : 0;
    }
    if (alphabet % 2 && packed[alphabet / 2] & 15) {
        return TH_TRAILING;
    }
    return shares == 1u << TH_MAX_CODE_BITS ? TH_OK : TH_TABLE;
}

/* RFC 1951, section 3.2.2. */
void th_canonical_codes(const uint16_t *lengths, uint32_t alphabet, uint16_t *codes) {
    uint32_t used[TH_MAX_CODE_BITS + 2] = {0}, next[TH_MAX_CODE_BITS + 2] = {0};
    for (uint32_t s = 0; s < alphabet; s++) {
        used[lengths[s]]++;
    }
    used[0] = 0;
    for (uint32_t bits = 1; bits <= TH_MAX_CODE_BITS; bits++) {
        next[bits] = (next[bits - 1] + used[bits - 1]) << 1;
    }
    for (uint32_t s = 0; s < alphabet; s++) {
        codes[s] = (uint16_t)(lengths[s] ? next[lengths[s]]++ : 0);
    }
}
