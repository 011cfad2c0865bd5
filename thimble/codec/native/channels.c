#include "fit.h"

#include <stdlib.h>

/* Count the symbols of each channel: element e is of channel e / stride % channels. */
void th_channel_histogram(const uint8_t *symbols, uint32_t width, uint64_t count, uint64_t stride,
                          uint32_t channels, uint32_t alphabet, uint32_t *counts) {
    uint32_t channel = 0;
    /* Neighbours are of different channels: the common case without a loop for each. */
    uint64_t whole = stride == 1 && width == 1 ? count / channels * channels : 0;
    for (uint64_t i = 0; i < whole;) {
        for (uint64_t cell = 0; cell < (uint64_t)channels * alphabet; cell += alphabet, i++) {
            counts[cell + (symbols[i] < alphabet ? symbols[i] : 0)]++;
        }
    }
    for (uint64_t i = whole; i < count;) {
        uint64_t end = count - i < stride ? count : i + stride;
        uint32_t *mine = counts + (uint64_t)channel * alphabet;
        for (; i < end; i++) {
            uint32_t symbol = width == 1 ? symbols[i] : th_u16(symbols + 2 * i);
            if (symbol < alphabet) {
                mine[symbol]++;
            }
        }
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
}

typedef struct {
    uint64_t place; /* mean distance from the middle of the alphabet, in 1/1024 */
    uint32_t channel;
} spread;

static int by_place(const void *a, const void *b) {
    const spread *x = a, *y = b;
    if (x->place != y->place) {
        return x->place < y->place ? -1 : 1;
    }
    return x->channel < y->channel ? -1 : 1;
}

/* Start: channels sorted by how far their symbols lie from the middle, cut in equal parts. */
static int start_groups(const uint32_t *counts, uint32_t channels, uint32_t alphabet,
                        uint32_t groups, uint8_t *members) {
    spread *order = malloc(channels * sizeof *order);
    if (order == NULL) {
        return TH_MEMORY;
    }
    for (uint32_t c = 0; c < channels; c++) {
        uint64_t total = 0, sum = 0;
        for (uint32_t s = 0; s < alphabet; s++) {
            uint64_t count = counts[(uint64_t)c * alphabet + s];
            total += count;
            sum += count * (2 * s > alphabet - 1 ? 2 * s - (alphabet - 1) : alphabet - 1 - 2 * s);
        }
        order[c] = (spread){total ? sum * 1024 / total : 0, c};
    }
    qsort(order, channels, sizeof *order, by_place);
    for (uint32_t i = 0; i < channels; i++) {
        members[order[i].channel] = (uint8_t)((uint64_t)i * groups / channels);
    }
    free(order);
    return TH_OK;
}

/* Write the cost of each symbol in each group, in 1/1024 bit, and return the sum over all. */
static uint64_t price_groups(const uint32_t *counts, uint32_t channels, uint32_t alphabet,
                             uint32_t groups, const uint8_t *members, uint64_t *sums,
                             uint32_t *prices) {
    uint64_t whole = 0;
    memset(sums, 0, (uint64_t)groups * alphabet * sizeof *sums);
    for (uint64_t c = 0; c < channels; c++) {
        for (uint32_t s = 0; s < alphabet; s++) {
            sums[(uint64_t)members[c] * alphabet + s] += counts[c * alphabet + s];
        }
    }
    for (uint32_t g = 0; g < groups; g++) {
        uint64_t *mine = sums + (uint64_t)g * alphabet, total = 0;
        for (uint32_t s = 0; s < alphabet; s++) {
            total += mine[s];
        }
        /* A third of a count more, so that no symbol is impossible. */
        uint32_t log_total = th_log2(3 * total + alphabet);
        for (uint32_t s = 0; s < alphabet; s++) {
            uint32_t price = log_total - th_log2(3 * mine[s] + 1);
            prices[(uint64_t)g * alphabet + s] = price;
            whole += mine[s] * price;
        }
    }
    return whole;
}

static int move_channels(const uint32_t *counts, uint32_t channels, uint32_t alphabet,
                         uint32_t groups, const uint32_t *prices, uint8_t *members) {
    int moved = 0;
    for (uint64_t c = 0; c < channels; c++) {
        uint64_t best = UINT64_MAX;
        uint8_t chosen = members[c];
        for (uint32_t g = 0; g < groups; g++) {
            uint64_t cost = 0;
            for (uint32_t s = 0; s < alphabet; s++) {
                cost += (uint64_t)counts[c * alphabet + s] * prices[(uint64_t)g * alphabet + s];
            }
            if (cost < best) {
                best = cost;
                chosen = (uint8_t)g;
            }
        }
        moved |= chosen != members[c];
        members[c] = chosen;
    }
    return moved;
}

/* Group channels whose symbols are alike: at most `rounds` of Lloyd's iteration, with bits as the
 * distance.
 *
 * Returns the bits of all symbols with the entropy of their group, UINT64_MAX without memory.
 * Source: Banerjee et al., 2005, "Clustering with Bregman divergences", algorithm 1. */
uint64_t th_group_channels(const uint32_t *counts, uint32_t channels, uint32_t alphabet,
                           uint32_t groups, uint32_t rounds, uint8_t *members) {
    if (alphabet == 0) { /* a codebook of one entry, which is skipped: there is nothing to code */
        memset(members, 0, channels);
        return 0;
    }
    uint64_t cells = (uint64_t)groups * alphabet, cost = UINT64_MAX;
    uint64_t *sums = malloc(cells * sizeof *sums);
    uint32_t *prices = malloc(cells * sizeof *prices);
    if (sums && prices && start_groups(counts, channels, alphabet, groups, members) == TH_OK) {
        for (uint32_t round = 0; round <= rounds; round++) {
            cost = price_groups(counts, channels, alphabet, groups, members, sums, prices);
            if (round == rounds ||
                !move_channels(counts, channels, alphabet, groups, prices, members)) {
                break;
            }
        }
        cost = (cost + TH_COST_UNIT - 1) / TH_COST_UNIT;
    }
    free(sums);
    free(prices);
    return cost;
}

/* Write the group of each symbol that is not skipped (none is above 65535); return how many. */
uint64_t th_kept_groups(const uint8_t *symbols, uint32_t width, uint64_t count, uint64_t stride,
                        uint32_t channels, uint32_t skipped, const uint8_t *members,
                        uint8_t *groups) {
    uint32_t channel = 0;
    uint64_t kept = 0;
    for (uint64_t i = 0; i < count;) {
        uint64_t end = count - i < stride ? count : i + stride;
        for (; i < end; i++) {
            uint32_t symbol = width == 1 ? symbols[i] : th_u16(symbols + 2 * i);
            groups[kept] = members[channel];
            kept += symbol != skipped;
        }
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
    return kept;
}
