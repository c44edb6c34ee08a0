// moert: trains, evaluates and serves a compiled program.
int main() { return 0; }
