#include "rans.h"
#include "tables.h"

#include <stdlib.h>

void th_histogram(const uint8_t *symbols, uint32_t width, uint64_t count, uint64_t *counts,
                  uint32_t alphabet) {
    /* Four tables, so that runs of one symbol do not wait for each other. */
    uint64_t split[4][256] = {{0}};
    for (uint64_t i = 0; width == 1 && i < count; i++) {
        split[i & 3][symbols[i]]++;
    }
    for (uint32_t s = 0; width == 1 && s < 256 && s < alphabet; s++) {
        counts[s] += split[0][s] + split[1][s] + split[2][s] + split[3][s];
    }
    for (uint64_t i = 0; width == 2 && i < count; i++) {
        uint32_t symbol = th_u16(symbols + 2 * i);
        if (symbol < alphabet) {
            counts[symbol]++;
        }
    }
}

/* Write the gaps before the symbols that are not skipped, and these; return how many they are. */
uint64_t th_split_gaps(const uint8_t *symbols, uint32_t width, uint64_t count, uint32_t skipped,
                       uint32_t *gaps, uint16_t *values) {
    uint64_t kept = 0, from = 0;
    uint64_t runs = width == 1 ? 0x0101010101010101u * (uint64_t)skipped : 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t eight;
        while (width == 1 && i + 8 <= count) {
            memcpy(&eight, symbols + i, 8);
            if (eight != runs) {
                break;
            }
            i += 8;
        }
        if (i >= count) {
            break;
        }
        uint32_t symbol = width == 1 ? symbols[i] : th_u16(symbols + 2 * i);
        if (symbol != skipped) {
            gaps[kept] = (uint32_t)(i - from);
            values[kept++] = (uint16_t)(symbol - (symbol > skipped));
            from = i + 1;
        }
    }
    return kept;
}

/* Write gaps as symbols with an escape of `bits` bits (0 = none); return how many they are.
 * With `symbols` NULL they are only counted. */
uint64_t th_gap_symbols(const uint32_t *gaps, uint64_t kept, uint32_t bits, uint16_t *symbols) {
    uint32_t escape = bits ? (1u << bits) - 1 : UINT32_MAX;
    uint64_t count = 0;
    for (uint64_t i = 0; i < kept; i++) {
        uint32_t gap = gaps[i];
        for (; gap >= escape; gap -= escape, count++) {
            if (symbols) {
                symbols[count] = (uint16_t)escape;
            }
        }
        if (symbols) {
            symbols[count] = (uint16_t)gap;
        }
        count++;
    }
    return count;
}

/* Number the distinct items in the order they occur; return how many, or -1 above `room`. */
int th_distinct(const uint8_t *items, uint32_t width, uint64_t count, uint32_t room,
                uint64_t *entries, uint16_t *symbols) {
    enum { BITS = 14, SLOTS = 1 << BITS };
    uint16_t *slots = calloc(SLOTS, sizeof *slots); /* number + 1 */
    int found = 0;
    if (slots == NULL || room > SLOTS / 4) {
        free(slots);
        return -1;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t item = th_unsigned(items + i * width, width);
        uint64_t slot = item * 0x9E3779B97F4A7C15u >> (64 - BITS);
        while (slots[slot] && entries[slots[slot] - 1] != item) {
            slot = (slot + 1) % SLOTS;
        }
        if (!slots[slot]) {
            if ((uint32_t)found == room) {
                free(slots);
                return -1;
            }
            entries[found] = item;
            slots[slot] = (uint16_t)++found;
        }
        symbols[i] = (uint16_t)(slots[slot] - 1);
    }
    free(slots);
    return found;
}

static uint64_t encode_huffman(const th_plan *plan, const uint16_t *symbols, uint64_t count,
                               uint8_t *out, uint64_t room) {
    uint16_t codes[TH_MAX_ALPHABET];
    uint64_t bits = 0, size = 0;
    uint32_t filled = 0;
    th_canonical_codes(plan->codes, plan->alphabet, codes);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t length = plan->codes[symbols[i]];
        bits = bits << length | codes[symbols[i]];
        for (filled += length; filled >= 8; filled -= 8) {
            if (size == room) {
                return 0;
            }
            out[size++] = (uint8_t)(bits >> (filled - 8));
        }
    }
    if (filled && size < room) {
        out[size++] = (uint8_t)(bits << (8 - filled));
    }
    return size;
}

static uint64_t encode_rans(const th_plan *plan, uint32_t states, const uint16_t *symbols,
                            uint64_t count, uint8_t *out, uint64_t room) {
    uint32_t sums[TH_MAX_ALPHABET + 1] = {0};
    uint64_t first = states > 1 ? TH_LOWEST : 0;
    uint64_t state[4] = {first, first, first, first};
    th_words words = th_words_for(states, room);
    for (uint32_t s = 0; s < plan->alphabet; s++) {
        sums[s + 1] = sums[s] + plan->codes[s];
    }
    int fits = words.items != NULL;
    for (uint64_t i = count; fits && i-- > 0;) {
        fits = th_step(&words, &state[i % states], plan->codes[symbols[i]], sums[symbols[i]],
                       plan->scale);
    }
    uint64_t size = fits ? th_put_states(state, states, &words, out) : 0;
    free(words.items);
    return size;
}

/* Write the payload of a stream; 0 if `room` bytes do not hold it. */
uint64_t th_encode_stream(const th_plan *plan, uint32_t states, const uint16_t *symbols,
                          uint64_t count, uint8_t *out, uint64_t room) {
    if (plan->coder == TH_HUFFMAN) {
        return encode_huffman(plan, symbols, count, out, room);
    }
    return plan->coder == TH_RANS ? encode_rans(plan, states, symbols, count, out, room) : 0;
}
