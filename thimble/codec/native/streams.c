#include "streams.h"

#include "rans.h"
#include "tables.h"

#include <stdlib.h>

static void fill_slots(uint64_t *slots, const uint16_t *frequencies, uint32_t alphabet) {
    for (uint32_t s = 0; s < alphabet; s++) {
        uint64_t entry = s | (uint64_t)frequencies[s] << 16;
        for (uint64_t i = 0; i < frequencies[s]; i++) {
            *slots++ = entry | i << 32;
        }
    }
}

/* Make the lookup table of rANS; few symbols do not pay for one and search the sums instead. */
static int build_slots(th_stream *stream, const uint16_t *frequencies) {
    uint32_t sum = 0, slots = 1u << stream->scale;
    stream->search = stream->left < slots / 8;
    if (!stream->search) {
        stream->slots = malloc(slots * sizeof *stream->slots);
        if (stream->slots == NULL) {
            return TH_MEMORY;
        }
        fill_slots(stream->slots, frequencies, stream->alphabet);
        return TH_OK;
    }
    stream->sums = malloc((stream->alphabet + 1) * sizeof *stream->sums);
    if (stream->sums == NULL) {
        return TH_MEMORY;
    }
    for (uint32_t s = 0; s < stream->alphabet; s++) {
        stream->sums[s] = sum;
        sum += frequencies[s];
    }
    stream->sums[stream->alphabet] = sum;
    return TH_OK;
}

static int build_entries(th_stream *stream, const uint16_t *lengths) {
    uint16_t *codes = malloc(stream->alphabet * sizeof *codes);
    for (uint32_t s = 0; s < stream->alphabet; s++) {
        stream->code_bits = lengths[s] > stream->code_bits ? lengths[s] : stream->code_bits;
    }
    stream->entries = malloc(sizeof *stream->entries << stream->code_bits);
    if (codes == NULL || stream->entries == NULL) {
        free(codes);
        return TH_MEMORY;
    }
    th_canonical_codes(lengths, stream->alphabet, codes);
    for (uint32_t s = 0; s < stream->alphabet; s++) {
        uint32_t free_bits = stream->code_bits - lengths[s];
        for (uint32_t i = 0; lengths[s] && i < 1u << free_bits; i++) {
            stream->entries[((uint32_t)codes[s] << free_bits) + i] =
                (uint16_t)(s << 4 | lengths[s]);
        }
    }
    free(codes);
    return TH_OK;
}

/* Find a table in the pool; it must be of the stream's coder and alphabet. */
static int pooled_table(const th_pool *pool, uint64_t number, uint32_t coder, uint32_t alphabet,
                        th_cursor *table) {
    if (pool == NULL || number >= pool->tables) {
        return TH_POOL;
    }
    uint64_t start = pool->starts[number];
    uint64_t end = number + 1 < pool->tables ? pool->starts[number + 1] : pool->size;
    if (start >= end || end > pool->size) {
        return TH_POOL;
    }
    uint64_t known;
    *table = (th_cursor){pool->data + start, pool->data + end};
    if (*table->at++ != coder) {
        return TH_POOL;
    }
    TH_TRY(th_varint(table, &known));
    return known == alphabet ? TH_OK : TH_POOL;
}

static int load_table(th_stream *stream, th_cursor *cursor, int pooled, const th_pool *pool) {
    uint16_t codes[TH_MAX_ALPHABET];
    th_cursor table = *cursor;
    if (stream->contexts) {
        return pooled ? TH_UNKNOWN : th_load_contexts(stream, cursor);
    }
    if (pooled) {
        uint64_t number;
        TH_TRY(th_varint(cursor, &number));
        TH_TRY(pooled_table(pool, number, stream->coder, stream->alphabet, &table));
    }
    int huffman = stream->coder == TH_HUFFMAN;
    TH_TRY(huffman ? th_read_lengths(&table, stream->alphabet, codes)
                   : th_read_frequencies(&table, stream->alphabet, stream->scale, codes));
    if (!pooled) {
        *cursor = table;
    }
    return huffman ? build_entries(stream, codes) : build_slots(stream, codes);
}

/* SPEC section 5, rANS payload: the states come first, the 16-bit words follow. */
static int open_states(th_stream *stream) {
    uint64_t size = (uint64_t)(stream->end - stream->at);
    uint32_t bytes = TH_STATE_BYTES;
    if (stream->states > 1) {
        uint64_t first = (uint64_t)stream->states * TH_STATE_BYTES;
        if (size < first || (size - first) % 2) {
            return TH_STREAM;
        }
    } else if (size <= TH_STATE_BYTES) {
        bytes = (uint32_t)size;
    } else {
        bytes = TH_STATE_BYTES - (uint32_t)(size % 2 == 0);
    }
    for (uint32_t i = 0; i < stream->states; i++, stream->at += bytes) {
        stream->state[i] = th_unsigned(stream->at, bytes);
        uint64_t least = size <= TH_STATE_BYTES ? 0 : TH_LOWEST;
        if (stream->states == 1 && bytes && (size <= TH_STATE_BYTES || bytes == TH_STATE_BYTES)) {
            least = (uint64_t)1 << (8 * (bytes - 1)); /* the highest byte is needed */
        }
        if (stream->state[i] < least) {
            return TH_STREAM;
        }
    }
    return TH_OK;
}

static int open_coded(th_stream *stream, th_cursor *cursor, int pooled, const th_pool *pool,
                      th_row *figures, int last) {
    const uint8_t *before = cursor->at;
    TH_TRY(load_table(stream, cursor, pooled, pool));
    figures->table_bytes += (uint64_t)(cursor->at - before);
    uint64_t size = th_left(cursor);
    if (!last) {
        TH_TRY(th_varint(cursor, &size));
    }
    TH_TRY(th_take(cursor, size, &stream->at));
    stream->end = stream->at + size;
    figures->payload_bytes += size;
    return stream->coder == TH_RANS ? open_states(stream) : TH_OK;
}

static int stream_open(th_stream *stream, th_cursor *cursor, uint64_t count, uint32_t alphabet,
                       const th_pool *pool, th_row *figures, int last) {
    const uint8_t *form;
    uint64_t number;
    stream->left = count;
    stream->alphabet = alphabet;
    if (count == 0 || alphabet == 1) {
        return TH_OK;
    }
    TH_TRY(th_take(cursor, 1, &form));
    stream->coder = *form & 3;
    figures->coders |= 1u << stream->coder;
    stream->contexts = (*form >> 3 & 3) == 3;
    stream->states = stream->contexts ? 1 : 1u << (*form >> 3 & 3);
    stream->scale = TH_MIN_SCALE + (*form >> 5);
    if (stream->coder != TH_RANS && (*form >> 3 || (*form & 4 && stream->coder < TH_HUFFMAN))) {
        return TH_UNKNOWN;
    }
    if (stream->coder == TH_CONSTANT) {
        TH_TRY(th_varint(cursor, &number));
        stream->constant = (uint32_t)number;
        return number < alphabet ? TH_OK : TH_SYMBOL;
    }
    if (stream->coder == TH_STORED) {
        stream->item_bytes = alphabet > 256 ? 2 : 1;
        if (count > th_left(cursor) / stream->item_bytes) {
            return TH_SHORT;
        }
        figures->payload_bytes += count * stream->item_bytes;
        return th_take(cursor, count * stream->item_bytes, &stream->at);
    }
    return open_coded(stream, cursor, *form >> 2 & 1, pool, figures, last);
}

/* Binary search for the symbol of a slot, for streams too short for a table of slots. */
static void read_by_search(th_stream *stream, uint16_t *out, uint64_t count) {
    const uint32_t *sums = stream->sums;
    uint64_t mask = ((uint64_t)1 << stream->scale) - 1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t *x = &stream->state[i % stream->states];
        uint32_t slot = (uint32_t)(*x & mask), low = 0, high = stream->alphabet;
        while (high - low > 1) {
            uint32_t middle = (low + high) / 2;
            low = sums[middle] <= slot ? middle : low;
            high = sums[middle] <= slot ? high : middle;
        }
        out[i] = (uint16_t)low;
        *x = (uint64_t)(sums[low + 1] - sums[low]) * (*x >> stream->scale) + slot - sums[low];
        *x = th_refill(&stream->at, stream->end, *x);
    }
}

/* One symbol of each state. With two bytes left for each there is nothing to branch on: whether a
 * state takes a word is as good as random, and a wrong guess costs more than the rest. */
static inline void read_round(const uint64_t *slots, uint32_t scale, uint64_t *x, uint64_t states,
                              const uint8_t **at, uint16_t *out) {
    uint64_t mask = ((uint64_t)1 << scale) - 1;
    for (uint64_t k = 0; k < states; k++) {
        uint64_t entry = slots[x[k] & mask];
        out[k] = (uint16_t)entry;
        x[k] = (entry >> 16 & 0xFFFF) * (x[k] >> scale) + (entry >> 32);
        uint64_t taken = x[k] << 16 | th_u16(*at), low = x[k] < TH_LOWEST;
        x[k] = low ? taken : x[k];
        *at += 2 * low;
    }
}

/* Inlined for each number of states, so that the loops over them unroll. */
static inline void read_states(th_stream *stream, uint16_t *out, uint64_t count, uint64_t states) {
    const uint64_t *slots = stream->slots;
    uint64_t x[4] = {stream->state[0], stream->state[1], stream->state[2], stream->state[3]};
    uint64_t mask = ((uint64_t)1 << stream->scale) - 1, i = 0;
    uint32_t scale = stream->scale;
    const uint8_t *at = stream->at, *end = stream->end;
    for (; i + states <= count && (uint64_t)(end - at) >= 2 * states; i += states) {
        read_round(slots, scale, x, states, &at, out + i);
    }
    for (; i < count; i++) {
        uint64_t k = i % states, entry = slots[x[k] & mask];
        out[i] = (uint16_t)entry;
        x[k] = th_refill(&at, end, (entry >> 16 & 0xFFFF) * (x[k] >> scale) + (entry >> 32));
    }
    stream->at = at;
    memcpy(stream->state, x, sizeof x);
}

static int read_huffman(th_stream *stream, uint16_t *out, uint64_t count) {
    uint32_t shift = 64 - stream->code_bits;
    for (uint64_t i = 0; i < count; i++) {
        while (stream->bit_count <= 56 && stream->at < stream->end) {
            stream->bits |= (uint64_t)*stream->at++ << (56 - stream->bit_count);
            stream->bit_count += 8;
        }
        uint16_t entry = stream->entries[stream->bits >> shift];
        uint32_t length = entry & 15;
        if (length > stream->bit_count) {
            return TH_STREAM;
        }
        out[i] = entry >> 4;
        stream->bits <<= length;
        stream->bit_count -= length;
    }
    return TH_OK;
}

static int read_stored(th_stream *stream, uint16_t *out, uint64_t count) {
    uint32_t worst = 0;
    for (uint64_t i = 0; i < count; i++, stream->at += stream->item_bytes) {
        out[i] = (uint16_t)th_unsigned(stream->at, stream->item_bytes);
        worst = out[i] > worst ? out[i] : worst;
    }
    return worst < stream->alphabet ? TH_OK : TH_SYMBOL;
}

/* Read at most TH_CHUNK symbols; a multiple of four unless they are the last. */
static int stream_read(th_stream *stream, uint16_t *out, uint64_t count) {
    if (count > stream->left) {
        return TH_STREAM;
    }
    stream->left -= count;
    if (stream->alphabet == 1 || stream->coder == TH_CONSTANT) {
        for (uint64_t i = 0; i < count; i++) {
            out[i] = (uint16_t)stream->constant;
        }
        return TH_OK;
    }
    if (stream->coder == TH_STORED) {
        return read_stored(stream, out, count);
    }
    if (stream->coder == TH_HUFFMAN) {
        return read_huffman(stream, out, count);
    }
    if (stream->contexts) {
        th_read_contexts(stream, out, count);
    } else if (stream->search) {
        read_by_search(stream, out, count);
    } else if (stream->states == 4) {
        read_states(stream, out, count, 4);
    } else if (stream->states == 2) {
        read_states(stream, out, count, 2);
    } else {
        read_states(stream, out, count, 1);
    }
    return TH_OK;
}

/* After the last symbol nothing may be left over. */
static int stream_end(const th_stream *stream) {
    if (stream->left) {
        return TH_STREAM;
    }
    if (stream->coder == TH_HUFFMAN && stream->entries) {
        int spent = stream->at == stream->end && stream->bit_count < 8 && stream->bits == 0;
        return spent ? TH_OK : TH_STREAM;
    }
    if (stream->coder != TH_RANS || (!stream->slots && !stream->sums && !stream->cells)) {
        return TH_OK;
    }
    uint64_t last = stream->states > 1 ? TH_LOWEST : 0;
    for (uint32_t i = 0; i < stream->states; i++) {
        if (stream->state[i] != last) {
            return TH_STREAM;
        }
    }
    return stream->at == stream->end ? TH_OK : TH_STREAM;
}

static void stream_close(th_stream *stream) {
    free(stream->slots);
    free(stream->class_of);
    free(stream->symbol_of);
    free(stream->cells);
    free(stream->entries);
    free(stream->sums);
}

int th_symbols_open(th_symbols *symbols, th_cursor *cursor, uint64_t count, uint32_t alphabet,
                    const th_pool *pool, th_row *figures, int last) {
    symbols->alphabet = alphabet;
    symbols->wide = 0;
    if (count == 1 && alphabet > 1) {
        uint64_t symbol;
        TH_TRY(th_varint(cursor, &symbol));
        symbols->low = (th_stream){.coder = TH_CONSTANT, .alphabet = alphabet, .left = 1};
        symbols->low.constant = (uint32_t)symbol;
        return symbol < alphabet ? TH_OK : TH_SYMBOL;
    }
    if (alphabet > TH_MAX_ALPHABET) {
        symbols->wide = 1;
        uint32_t high = ((alphabet - 1) >> 8) + 1;
        TH_TRY(stream_open(&symbols->high, cursor, count, high, pool, figures, 0));
        alphabet = 256;
    }
    return stream_open(&symbols->low, cursor, count, alphabet, pool, figures, last);
}

int th_symbols_read(th_symbols *symbols, uint16_t *out, uint64_t count) {
    uint16_t high[TH_CHUNK];
    TH_TRY(stream_read(&symbols->low, out, count));
    if (!symbols->wide) {
        return TH_OK;
    }
    TH_TRY(stream_read(&symbols->high, high, count));
    for (uint64_t i = 0; i < count; i++) {
        uint32_t symbol = (uint32_t)high[i] << 8 | out[i];
        if (symbol >= symbols->alphabet) {
            return TH_SYMBOL;
        }
        out[i] = (uint16_t)symbol;
    }
    return TH_OK;
}

int th_symbols_end(const th_symbols *symbols) {
    TH_TRY(stream_end(&symbols->low));
    return symbols->wide ? stream_end(&symbols->high) : TH_OK;
}

void th_symbols_close(th_symbols *symbols) {
    stream_close(&symbols->low);
    stream_close(&symbols->high);
}
