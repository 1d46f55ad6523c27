#include <cstdio>
#include "uniform_boundaries.h"
int main() {
  printf("[\n");
  const double alphas[] = {0.05, 0.01, 0.001}; const double mins[] = {1, 10, 100}; const int ts[] = {100, 1000, 100000};
  bool first = true;
  for (double a : alphas) for (double m : mins) for (int t : ts) {
    printf("%s  {\"alpha\": %g, \"from\": %g, \"samples\": %d, \"half_width\": %.17g}", first ? "" : ",\n", a, m, t, confseq::empirical_process_lil_bound(t, a, m, 0.85)); first = false;
  }
  printf("\n]\n");
}
