"""What a recording says and who says it how: content codes with pitch and level, timbre vector, emotion vector."""
