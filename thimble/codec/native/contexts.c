#include "fit.h"
#include "rans.h"
#include "streams.h"

#include <stdlib.h>

/* A row may have 70 streams: what their tables take together must stay small. */
enum { MAX_CONTEXTS = 16, MAX_SLOTS = 1 << 17 };

/* SPEC section 5, contexts: the class of each symbol. */
static int read_classes(th_cursor *cursor, uint32_t alphabet, uint8_t *class_of, uint32_t *classes) {
    uint64_t thresholds, symbol = 0;
    TH_TRY(th_varint(cursor, &thresholds));
    if (thresholds < 1 || thresholds >= MAX_CONTEXTS) {
        return TH_TABLE;
    }
    for (uint32_t i = 0; i < thresholds; i++) {
        uint64_t next;
        TH_TRY(th_varint(cursor, &next));
        if (next <= symbol || next >= alphabet) {
            return TH_TABLE;
        }
        memset(class_of + symbol, (int)i, next - symbol);
        symbol = next;
    }
    memset(class_of + symbol, (int)thresholds, alphabet - symbol);
    *classes = (uint32_t)thresholds + 1;
    return TH_OK;
}

static void fill_class(uint16_t *symbol_of, uint32_t *cells, const uint16_t *frequencies,
                       uint32_t alphabet) {
    uint32_t sum = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        cells[s] = (uint32_t)frequencies[s] << 16 | sum;
        for (uint32_t i = 0; i < frequencies[s]; i++) {
            symbol_of[sum++] = (uint16_t)s;
        }
    }
}

/* Make the slots of each class of symbols before, one table after the other. */
int th_load_contexts(th_stream *stream, th_cursor *cursor) {
    uint16_t frequencies[TH_MAX_ALPHABET];
    stream->class_of = malloc(stream->alphabet);
    if (stream->class_of == NULL) {
        return TH_MEMORY;
    }
    TH_TRY(read_classes(cursor, stream->alphabet, stream->class_of, &stream->contexts));
    uint64_t slots = (uint64_t)stream->contexts << stream->scale;
    uint64_t cells = (uint64_t)stream->contexts * stream->alphabet;
    if (slots > MAX_SLOTS || slots < 2 * cells) {
        return TH_TABLE;
    }
    stream->symbol_of = malloc(slots * sizeof *stream->symbol_of);
    stream->cells = malloc(cells * sizeof *stream->cells);
    if (stream->symbol_of == NULL || stream->cells == NULL) {
        return TH_MEMORY;
    }
    uint16_t *symbol_of = stream->symbol_of;
    for (uint32_t *cell = stream->cells; cell < stream->cells + cells; cell += stream->alphabet) {
        TH_TRY(th_read_frequencies(cursor, stream->alphabet, stream->scale, frequencies));
        fill_class(symbol_of, cell, frequencies, stream->alphabet);
        symbol_of += (uint64_t)1 << stream->scale;
    }
    return TH_OK;
}

void th_read_contexts(th_stream *stream, uint16_t *out, uint64_t count) {
    uint64_t x = stream->state[0], mask = ((uint64_t)1 << stream->scale) - 1;
    uint32_t class = stream->class;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t slot = x & mask;
        uint16_t symbol = stream->symbol_of[((uint64_t)class << stream->scale) + slot];
        uint64_t cell = stream->cells[(uint64_t)class * stream->alphabet + symbol];
        out[i] = symbol;
        class = stream->class_of[symbol];
        x = (cell >> 16) * (x >> stream->scale) + slot - (cell & 0xFFFF);
        x = th_refill(&stream->at, stream->end, x);
    }
    stream->state[0] = x;
    stream->class = class;
}

/* Count each symbol by the class of the one before; before the first is symbol 0. */
void th_context_histogram(const uint16_t *symbols, uint64_t count, const uint8_t *class_of,
                          uint32_t alphabet, uint64_t *counts) {
    uint32_t class = class_of[0];
    for (uint64_t i = 0; i < count; i++) {
        counts[(uint64_t)class * alphabet + symbols[i]]++;
        class = class_of[symbols[i]];
    }
}

/* Write the payload of a stream with contexts; 0 if `room` bytes do not hold it. `frequencies` has
 * a row of `alphabet` for each class. */
uint64_t th_encode_contexts(const uint16_t *frequencies, const uint8_t *class_of,
                            uint32_t classes, uint32_t alphabet, uint32_t scale,
                            const uint16_t *symbols, uint64_t count, uint8_t *out, uint64_t room) {
    uint64_t cells = (uint64_t)classes * alphabet, state = 0;
    uint32_t *sums = malloc(cells * sizeof *sums);
    th_words words = th_words_for(1, room);
    int fits = sums != NULL && words.items != NULL;
    for (uint64_t cell = 0; fits && cell < cells; cell++) {
        sums[cell] = cell % alphabet ? sums[cell - 1] + frequencies[cell - 1] : 0;
    }
    for (uint64_t i = count; fits && i-- > 0;) {
        uint64_t cell = (uint64_t)class_of[i ? symbols[i - 1] : 0] * alphabet + symbols[i];
        fits = th_step(&words, &state, frequencies[cell], sums[cell], scale);
    }
    uint64_t size = fits ? th_put_states(&state, 1, &words, out) : 0;
    free(sums);
    free(words.items);
    return size;
}

/* Fit a curve of one scale to counts; return the bits of payload and table. */
uint64_t th_plan_curve(const uint64_t *counts, uint32_t alphabet, uint32_t scale, th_plan *plan) {
    plan->coder = TH_RANS;
    plan->alphabet = alphabet;
    plan->scale = scale;
    plan->cost_bits = (th_fit_curve(counts, alphabet, plan) + TH_COST_UNIT - 1) / TH_COST_UNIT;
    return plan->cost_bits;
}
