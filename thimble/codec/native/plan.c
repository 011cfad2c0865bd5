#include "fit.h"

#include <stdlib.h>

enum { MAX_ITEMS = 2 * TH_MAX_ALPHABET };

typedef struct {
    uint64_t count;
    uint32_t symbol;
} leaf;

typedef struct {
    leaf leaves[TH_MAX_ALPHABET];
    uint64_t level[MAX_ITEMS];
    uint64_t merged[MAX_ITEMS];
    uint8_t is_leaf[TH_MAX_CODE_BITS][MAX_ITEMS];
    uint32_t sizes[TH_MAX_CODE_BITS];
} packages;

/* Rarest first; of equals the higher symbol, so that the lower one gets the shorter code. */
static int by_count(const void *a, const void *b) {
    const leaf *x = a, *y = b;
    if (x->count != y->count) {
        return x->count < y->count ? -1 : 1;
    }
    return x->symbol > y->symbol ? -1 : 1;
}

/* Merge the sorted leaves with the pairs of the level below; of equals the leaf first. */
static uint32_t merge_level(packages *work, uint32_t leaves, uint32_t below, uint32_t depth) {
    uint32_t pairs = below / 2, leaf_at = 0, pair_at = 0, size = 0;
    while (leaf_at < leaves || pair_at < pairs) {
        uint64_t pair = pair_at < pairs
                            ? work->level[2 * pair_at] + work->level[2 * pair_at + 1]
                            : UINT64_MAX;
        int take_leaf = leaf_at < leaves && work->leaves[leaf_at].count <= pair;
        work->is_leaf[depth][size] = (uint8_t)take_leaf;
        work->merged[size++] = take_leaf ? work->leaves[leaf_at++].count : pair;
        pair_at += !take_leaf;
    }
    memcpy(work->level, work->merged, size * sizeof *work->level);
    return size;
}

/* Package-merge: the cheapest prefix code of at most 15 bits.
 *
 * Source: Larmore and Hirschberg, 1990, "A fast algorithm for optimal length-limited Huffman
 * codes", section 3. */
void th_huffman_lengths(const uint64_t *counts, uint32_t alphabet, uint16_t *lengths) {
    packages *work = malloc(sizeof *work);
    uint32_t leaves = 0, size = 0;
    memset(lengths, 0, alphabet * sizeof *lengths);
    for (uint32_t s = 0; work && s < alphabet; s++) {
        if (counts[s]) {
            work->leaves[leaves++] = (leaf){counts[s], s};
        }
    }
    if (leaves < 2) {
        free(work);
        return;
    }
    qsort(work->leaves, leaves, sizeof *work->leaves, by_count);
    for (uint32_t depth = 0; depth < TH_MAX_CODE_BITS; depth++) {
        size = merge_level(work, leaves, size, depth);
        work->sizes[depth] = size;
    }
    uint32_t chosen = 2 * leaves - 2;
    for (uint32_t depth = TH_MAX_CODE_BITS; depth-- > 0;) {
        uint32_t symbols = 0;
        for (uint32_t i = 0; i < chosen && i < work->sizes[depth]; i++) {
            symbols += work->is_leaf[depth][i];
        }
        for (uint32_t i = 0; i < symbols; i++) {
            lengths[work->leaves[i].symbol]++;
        }
        chosen = 2 * (chosen - symbols);
    }
    free(work);
}

static uint64_t huffman_cost(const uint64_t *counts, const uint16_t *lengths, uint32_t alphabet) {
    uint64_t bits = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        bits += counts[s] * lengths[s];
    }
    return bits * TH_COST_UNIT;
}

static void write_lengths(const uint16_t *lengths, uint32_t alphabet, th_plan *plan) {
    plan->table_bytes = (alphabet + 1) / 2;
    memset(plan->table, 0, plan->table_bytes);
    for (uint32_t s = 0; s < alphabet; s++) {
        plan->table[s / 2] |= (uint8_t)(s % 2 ? lengths[s] : lengths[s] << 4);
        plan->codes[s] = lengths[s];
    }
}

/* Choose coder and table for symbols with these counts.
 *
 * Returns the number of symbols in use, or -1 without memory. */
int th_plan_stream(const uint64_t *counts, uint32_t alphabet, th_plan *plan) {
    uint16_t lengths[TH_MAX_ALPHABET];
    uint64_t total = 0;
    int used = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        total += counts[s];
        used += counts[s] != 0;
    }
    plan->alphabet = alphabet;
    plan->scale = plan->table_bytes = 0;
    plan->cost_bits = 0;
    plan->coder = TH_CONSTANT;
    if (used < 2) {
        return used;
    }
    uint64_t rans = th_fit_curve(counts, alphabet, plan);
    th_huffman_lengths(counts, alphabet, lengths);
    uint64_t huffman = huffman_cost(counts, lengths, alphabet) +
                       (uint64_t)((alphabet + 1) / 2) * 8 * TH_COST_UNIT;
    uint64_t stored = total * (alphabet > 256 ? 16 : 8) * TH_COST_UNIT;
    plan->coder = TH_RANS;
    plan->cost_bits = rans;
    if (huffman <= rans) {
        plan->coder = TH_HUFFMAN;
        plan->cost_bits = huffman;
        write_lengths(lengths, alphabet, plan);
    }
    if (stored <= plan->cost_bits) {
        plan->coder = TH_STORED;
        plan->cost_bits = stored;
        plan->table_bytes = 0;
    }
    plan->cost_bits = (plan->cost_bits + TH_COST_UNIT - 1) / TH_COST_UNIT;
    return used;
}

/* Bits of symbols with these counts by their entropy: no table codes them in fewer. */
uint64_t th_entropy_bits(const uint64_t *counts, uint32_t alphabet) {
    uint64_t total = 0, cost = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        total += counts[s];
    }
    uint32_t log_total = total ? th_log2(total) : 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        if (counts[s]) {
            cost += counts[s] * (log_total - th_log2(counts[s]));
        }
    }
    return cost / TH_COST_UNIT;
}
