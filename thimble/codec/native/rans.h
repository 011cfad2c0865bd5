/* The states of rANS and the words that they take and give (SPEC section 5). */
#ifndef THIMBLE_RANS_H
#define THIMBLE_RANS_H

#include "cursor.h"

#include <stdlib.h>

enum { TH_STATE_BYTES = 5 };

/* A state below this one takes a word, if one is left. */
#define TH_LOWEST ((uint64_t)1 << 24)

static inline uint64_t th_refill(const uint8_t **at, const uint8_t *end, uint64_t state) {
    if (state < TH_LOWEST && end - *at >= 2) {
        state = state << 16 | th_u16(*at);
        *at += 2;
    }
    return state;
}

/* The words of an encoder, last to first; `items` is NULL without room for states or memory. */
typedef struct {
    uint16_t *items;
    uint64_t count;
    uint64_t room;
} th_words;

/* As many words as `room` bytes hold beside the states; the caller frees the items. */
static inline th_words th_words_for(uint32_t states, uint64_t room) {
    uint64_t first = (uint64_t)states * TH_STATE_BYTES;
    th_words words = {NULL, 0, 0};
    if (room >= first) {
        words.room = (room - first) / 2;
        words.items = malloc(words.room * sizeof *words.items + 2);
    }
    return words;
}

/* Code a symbol: a state that would grow too large gives a word first; 0 if that has no room. */
static inline int th_step(th_words *words, uint64_t *state, uint32_t frequency, uint32_t sum,
                          uint32_t scale) {
    if (*state >= (uint64_t)frequency << (40 - scale)) {
        if (words->count == words->room) {
            return 0;
        }
        words->items[words->count++] = (uint16_t)*state;
        *state >>= 16;
    }
    *state = (*state / frequency << scale) + *state % frequency + sum;
    return 1;
}

/* Write the states and then the words; return their bytes. */
static inline uint64_t th_put_states(const uint64_t *state, uint32_t states, const th_words *words,
                                     uint8_t *out) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < states; i++) {
        uint32_t bytes = TH_STATE_BYTES;
        while (states == 1 && bytes && state[i] >> (8 * (bytes - 1)) == 0) {
            bytes--;
        }
        th_put(out + at, bytes, state[i]);
        at += bytes;
    }
    for (uint64_t i = words->count; i-- > 0; at += 2) {
        th_put(out + at, 2, words->items[i]);
    }
    return at;
}

#endif
