# Checks the exposition text of Prometheus strictly: every line, one type for each metric, its samples together, no sample twice.
function fail(why) { printf "line %d: %s: %s\n", NR, why, $0; failed = 1; exit 1 }
function family_of(name,   base) {
  base = name
  if (sub(/_(bucket|sum|count)$/, "", base) && (type[base] == "histogram" || type[base] == "summary")) return base
  return name
}
BEGIN { name_of = "[a-zA-Z_:][a-zA-Z0-9_:]*"; label = "[a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\\]|\\\\[\"\\\\n])*\"" }
/^$/ { next }
/^# TYPE / {
  if (NF != 4 || $4 !~ /^(counter|gauge|histogram|summary|untyped)$/) fail("no type")
  if ($3 in type) fail("a second type")
  if ($3 in seen) fail("a type after the samples")
  type[$3] = $4
  next
}
/^# HELP / { if ($3 in help) fail("a second help"); help[$3] = 1; next }
/^#/ { next }
{
  rest = $0
  if (!match(rest, "^" name_of)) fail("no sample")
  name = substr(rest, 1, RLENGTH)
  rest = substr(rest, RLENGTH + 1)
  labels = ""
  if (rest ~ /^{/) {
    if (!match(rest, "^{(" label "(," label ")*,?)?}")) fail("wrong labels")
    labels = substr(rest, 1, RLENGTH)
    rest = substr(rest, RLENGTH + 1)
  }
  if (rest !~ /^ [+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|Inf|NaN)( -?[0-9]+)?$/) fail("no value")
  if ((name labels) in series) fail("a sample twice")
  series[name labels] = 1
  family = family_of(name)
  if (family != current && (family in seen)) fail("samples of one metric apart")
  seen[family] = 1
  current = family
  samples++
}
END {
  if (failed) exit 1
  if (!samples) { print "there are no samples"; exit 1 }
  print samples " samples are valid"
}
