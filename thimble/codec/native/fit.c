#include "fit.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_SWEEPS = 2, FULL_CURVE = 512, REFINE_WORK = 1 << 12 };

typedef struct {
    const uint64_t *counts;
    uint32_t alphabet;
    uint32_t scale;
    uint16_t frequencies[TH_MAX_ALPHABET];
} fit_case;

/* log2 in 1/1024: the fraction by squaring a 32-bit mantissa. */
uint32_t th_log2(uint64_t value) {
    uint32_t whole = 63 - (uint32_t)__builtin_clzll(value);
    uint64_t mantissa = whole > 31 ? value >> (whole - 31) : value << (31 - whole);
    uint32_t fraction = 0;
    for (int bit = 0; bit < 10; bit++) {
        mantissa = mantissa * mantissa >> 31;
        fraction <<= 1;
        if (mantissa >> 32) {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    return whole << 10 | fraction;
}

/* log2 of a frequency, from a table that is made once (threads write equal values). */
static uint32_t frequency_log2(uint32_t frequency) {
    static _Atomic uint32_t known[1 << TH_MAX_SCALE];
    uint32_t found = atomic_load_explicit(&known[frequency], memory_order_relaxed);
    if (found == 0 && frequency > 1) {
        found = th_log2(frequency);
        atomic_store_explicit(&known[frequency], found, memory_order_relaxed);
    }
    return found;
}

static uint64_t payload_cost(const fit_case *fit) {
    uint64_t cost = 0;
    uint32_t whole = fit->scale << 10;
    for (uint32_t s = 0; s < fit->alphabet; s++) {
        if (fit->counts[s]) {
            cost += fit->counts[s] * (whole - frequency_log2(fit->frequencies[s]));
        }
    }
    return cost;
}

static uint32_t step_code(const th_curve *curve, uint32_t knot) {
    int32_t step = curve->levels[knot] - curve->levels[knot - 1];
    return step >= 0 ? (uint32_t)step * 2 : (uint32_t)(-step) * 2 - 1;
}

/* Bits of the Rice codes with the best parameter. */
static uint32_t steps_bits(const th_curve *curve, uint32_t *low) {
    uint32_t best = UINT32_MAX;
    for (uint32_t p = 0; p < 8; p++) {
        uint32_t bits = 0;
        for (uint32_t knot = 1; knot < curve->knots; knot++) {
            bits += (step_code(curve, knot) >> p) + 1 + p;
        }
        if (bits < best) {
            best = bits;
            *low = p;
        }
    }
    return best;
}

static uint32_t table_size(const th_curve *curve, uint32_t *low) {
    uint32_t count_bytes = curve->knots < 128 ? 1 : 2;
    *low = 0;
    return curve->knots < 2 ? count_bytes : count_bytes + 1 + (steps_bits(curve, low) + 7) / 8;
}

static uint64_t whole_cost(fit_case *fit, const th_curve *curve) {
    uint32_t low;
    th_curve_frequencies(curve, fit->alphabet, fit->scale, fit->frequencies);
    return payload_cost(fit) + (uint64_t)table_size(curve, &low) * 8 * TH_COST_UNIT;
}

/* Set each knot to the mean count around it, in the units of the curve. */
static void draw_curve(const fit_case *fit, const uint64_t *sums, th_curve *curve) {
    int32_t unit = TH_COST_UNIT >> curve->resolution, first = 0;
    uint32_t last = fit->alphabet - 1, knots = curve->knots;
    for (uint32_t knot = 0; knot < knots; knot++) {
        uint32_t here = th_knot_place(knot, knots, curve->spacing, fit->alphabet);
        uint32_t before = knot ? th_knot_place(knot - 1, knots, curve->spacing, fit->alphabet) : 0;
        uint32_t after =
            knot + 1 < knots ? th_knot_place(knot + 1, knots, curve->spacing, fit->alphabet) : last;
        uint32_t from = (before + here + 1) / 2, to = (here + after) / 2 + 1;
        uint64_t count = sums[to] - sums[from];
        int32_t level = (int32_t)th_log2(4 * count + 1) - (int32_t)th_log2(to - from);
        /* Rounded to the unit, halves up; only differences of levels count. */
        level = (level + unit / 2 + 64 * unit) / unit - 64;
        first = knot ? first : level;
        curve->levels[knot] = level - first;
    }
}

/* Move single knots while that helps. */
static uint64_t refine(fit_case *fit, th_curve *curve, uint64_t cost) {
    static const int32_t MOVES[2] = {-1, 1};
    if (curve->knots < 2 || (uint64_t)curve->knots * fit->alphabet > REFINE_WORK) {
        return cost;
    }
    for (int sweep = 0, moved = 1; moved && sweep < MAX_SWEEPS; sweep++) {
        moved = 0;
        for (uint32_t knot = 0; knot < curve->knots; knot++) {
            for (int i = 0; i < 2; i++) {
                curve->levels[knot] += MOVES[i];
                uint64_t found = whole_cost(fit, curve);
                if (found < cost) {
                    cost = found;
                    moved = 1;
                } else {
                    curve->levels[knot] -= MOVES[i];
                }
            }
        }
    }
    for (uint32_t knot = curve->knots; knot-- > 0;) {
        curve->levels[knot] -= curve->levels[0];
    }
    return cost;
}

static uint64_t try_curve(fit_case *fit, const uint64_t *sums, th_curve *best, uint64_t cost,
                          uint32_t knots, uint32_t spacing, uint32_t resolution) {
    th_curve curve;
    curve.knots = knots;
    curve.spacing = spacing;
    curve.resolution = resolution;
    if (!th_curve_fits(&curve, fit->alphabet)) {
        return cost;
    }
    draw_curve(fit, sums, &curve);
    uint64_t found = whole_cost(fit, &curve);
    if (found < cost) {
        memcpy(best, &curve, offsetof(th_curve, levels) + knots * sizeof *curve.levels);
        return found;
    }
    return cost;
}

static uint64_t search_curves(fit_case *fit, const uint64_t *sums, th_curve *best) {
    static const uint32_t KNOTS[] = {2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129};
    uint64_t cost = try_curve(fit, sums, best, UINT64_MAX, 1, 0, 0);
    uint64_t flat = cost;
    for (uint32_t i = 0; i < sizeof KNOTS / sizeof *KNOTS; i++) {
        /* A knot costs two bits or more: stop where the tables alone cost too much. */
        if (KNOTS[i] >= fit->alphabet || (uint64_t)KNOTS[i] * 2 * TH_COST_UNIT > flat) {
            break;
        }
        cost = try_curve(fit, sums, best, cost, KNOTS[i], 0, 1);
    }
    for (uint32_t knots = 5; knots <= 28 && fit->alphabet > 32; knots += knots / 4) {
        cost = try_curve(fit, sums, best, cost, knots, 1, 1);
    }
    if (fit->alphabet <= FULL_CURVE) {
        cost = try_curve(fit, sums, best, cost, fit->alphabet, 0, 1);
    }
    uint32_t knots = best->knots, spacing = best->spacing;
    for (uint32_t resolution = 0; knots > 1 && resolution < 4; resolution += resolution ? 1 : 2) {
        cost = try_curve(fit, sums, best, cost, knots, spacing, resolution);
    }
    return refine(fit, best, cost);
}

/* Larger tables decode slower: they must save at least one part in 256; smaller ones may cost a
 * byte. */
static uint64_t choose_scale(fit_case *fit, const th_curve *curve, uint64_t cost) {
    static const uint32_t SCALES[] = {8, 9, 10, 11, 13, 14, 15};
    uint32_t best = fit->scale;
    uint64_t least = cost;
    for (uint32_t i = 0; i < sizeof SCALES / sizeof *SCALES; i++) {
        if (1u << SCALES[i] < 2 * fit->alphabet) {
            continue;
        }
        fit->scale = SCALES[i];
        uint64_t found = whole_cost(fit, curve);
        uint64_t slack = SCALES[i] > best ? least / 256 : 0;
        if (found + slack < least) {
            best = SCALES[i];
            least = found;
        }
    }
    for (uint32_t i = 0; i < sizeof SCALES / sizeof *SCALES && SCALES[i] < best; i++) {
        if (1u << SCALES[i] < 2 * fit->alphabet) {
            continue;
        }
        fit->scale = SCALES[i];
        if (whole_cost(fit, curve) <= least + least / 4096 + 8 * TH_COST_UNIT) {
            best = SCALES[i];
        }
    }
    fit->scale = best;
    return whole_cost(fit, curve);
}

static uint32_t write_curve(const th_curve *curve, uint8_t *out) {
    uint32_t low, size = table_size(curve, &low), at = 0;
    memset(out, 0, size);
    if (curve->knots >= 128) {
        out[at++] = (uint8_t)(curve->knots & 127) | 128;
    }
    out[at++] = (uint8_t)(curve->knots >= 128 ? curve->knots >> 7 : curve->knots);
    if (curve->knots < 2) {
        return size;
    }
    out[at++] = (uint8_t)(curve->resolution | low << 2 | curve->spacing << 5);
    uint64_t bit = 8 * (uint64_t)at;
    for (uint32_t knot = 1; knot < curve->knots; knot++) {
        uint32_t code = step_code(curve, knot);
        for (uint32_t one = code >> low; one; one--, bit++) {
            out[bit / 8] |= (uint8_t)(128 >> bit % 8);
        }
        bit++;
        for (uint32_t i = low; i-- > 0; bit++) {
            out[bit / 8] |= (uint8_t)((code >> i & 1) << (7 - bit % 8));
        }
    }
    return size;
}

/* Fit frequencies to counts, with the plan's scale unless that is 0; return the cost of payload and
 * table. */
uint64_t th_fit_curve(const uint64_t *counts, uint32_t alphabet, th_plan *plan) {
    fit_case *fit = malloc(sizeof *fit);
    th_curve *curve = malloc(sizeof *curve);
    uint64_t *sums = malloc((alphabet + 1) * sizeof *sums);
    uint64_t cost = UINT64_MAX;
    uint32_t low;
    if (fit && curve && sums) {
        uint32_t usual = alphabet > 2048 ? 13 : 12;
        *fit = (fit_case){counts, alphabet, plan->scale ? plan->scale : usual, {0}};
        sums[0] = 0;
        for (uint32_t s = 0; s < alphabet; s++) {
            sums[s + 1] = sums[s] + counts[s];
        }
        cost = search_curves(fit, sums, curve);
        cost = plan->scale ? whole_cost(fit, curve) : choose_scale(fit, curve, cost);
        if (table_size(curve, &low) > TH_MAX_TABLE_BYTES) {
            cost = UINT64_MAX;
        } else {
            plan->table_bytes = write_curve(curve, plan->table);
            plan->scale = fit->scale;
            memcpy(plan->codes, fit->frequencies, alphabet * sizeof *plan->codes);
        }
    }
    free(fit);
    free(curve);
    free(sums);
    return cost;
}
